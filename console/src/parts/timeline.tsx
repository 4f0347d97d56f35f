/** Phases of a life, each with how long it took; the last one goes on. */
import { ProgressStep, ProgressStepper } from '@patternfly/react-core'
import type { Schemas } from '../api/client'
import { lasting, useNow } from './time'

export function Timeline({ phases, settled }: { phases: Schemas['Phase'][]; settled: boolean }) {
  const goesOn = phases.some((phase) => !phase.ended)
  const now = useNow(goesOn && !settled)
  return (
    <ProgressStepper isVertical aria-label="Timeline">
      {phases.map((phase, place) => {
        const running = !phase.ended
        const end = phase.ended ? Date.parse(phase.ended) : now
        const done = !running || settled
        const took = lasting(end - Date.parse(phase.started))
        // What a phase waited for last is nothing any more once it is over.
        const details = running
          ? [settled ? `since ${new Date(phase.started).toLocaleString()}` : took, phase.detail]
          : [took]
        return (
          <ProgressStep
            key={`${phase.phase}-${phase.started}`}
            id={`phase-${place}`}
            titleId={`phase-${place}-title`}
            variant={done ? 'success' : 'info'}
            isCurrent={running}
            description={details.filter(Boolean).join(' · ')}
            aria-label={done ? 'done' : 'goes on'}
          >
            {phase.phase}
          </ProgressStep>
        )
      })}
    </ProgressStepper>
  )
}
