/** States as labels: one colour, one icon and one word for each. */
import { Label, type LabelProps } from '@patternfly/react-core'
import {
  CheckCircleIcon,
  ExclamationCircleIcon,
  InProgressIcon,
  PendingIcon,
  TrashIcon,
  UnknownIcon,
} from '@patternfly/react-icons'

const LOOK: Record<string, LabelProps> = {
  Running: { status: 'success', icon: <CheckCircleIcon /> },
  Ready: { status: 'success', icon: <CheckCircleIcon /> },
  Deployed: { status: 'success', icon: <CheckCircleIcon /> },
  Healthy: { status: 'success', icon: <CheckCircleIcon /> },
  UnHealthy: { status: 'danger', icon: <ExclamationCircleIcon /> },
  Down: { status: 'danger', icon: <ExclamationCircleIcon /> },
  Failed: { status: 'danger', icon: <ExclamationCircleIcon /> },
  Broken: { status: 'danger', icon: <ExclamationCircleIcon /> },
  Waiting: { color: 'grey', icon: <PendingIcon /> },
  Pending: { color: 'grey', icon: <PendingIcon /> },
  Deleting: { color: 'orange', icon: <TrashIcon /> },
  Deleted: { color: 'grey', icon: <TrashIcon /> },
  Unknown: { color: 'grey', icon: <UnknownIcon /> },
}
/** On the way to something. */
const MOVING: LabelProps = { status: 'info', icon: <InProgressIcon /> }

export function State({ word }: { word: string }) {
  const look = LOOK[word] ?? (/^Failed/.test(word) ? LOOK['Failed'] : MOVING)
  return (
    <Label isCompact variant="outline" {...look}>
      {word}
    </Label>
  )
}
