import { PageSection, Title } from '@patternfly/react-core'
import { Link } from 'react-router'
import { useClusters, useProjects, useSites } from '../api/look'
import { Items } from '../parts/items'
import { Look, Nothing } from '../parts/look'
import { State } from '../parts/state'
import { Ago } from '../parts/time'

export function ClustersPage() {
  const clusters = useClusters()
  const names = useNames()
  return (
    <PageSection>
      <Title headingLevel="h1">Clusters</Title>
      <Look of={clusters}>
        {(all) =>
          all.length === 0 ? (
            <Nothing title="No clusters yet">
              <code>bessemer cluster create</code> orders one; it is seen here from that moment on.
            </Nothing>
          ) : (
            <Items
              label="Clusters"
              items={all}
              keyOf={({ metadata }) => metadata.uid}
              columns={[
                ['Name', ({ metadata }) => <Link to={`/clusters/${metadata.uid}`}>{metadata.name}</Link>],
                ['State', ({ status }) => <State word={status.state} />],
                ['Health', ({ status }) => <State word={status.health.state} />],
                ['Project', ({ metadata }) => names(metadata.annotations?.['projectUid'])],
                ['Site', ({ metadata }) => names(metadata.annotations?.['overlordUid'])],
                ['Made', ({ metadata }) => <Ago at={metadata.creationTimestamp} />],
                ['What is going on', ({ status }) => status.health.conditions[0]?.message],
              ]}
            />
          )
        }
      </Look>
    </PageSection>
  )
}

/** Names of projects and sites by their ids; the id where it is not known. */
function useNames() {
  const [projects, sites] = [useProjects(), useSites()]
  const all = [...(projects.data ?? []), ...(sites.data ?? [])].map(({ metadata }) => [metadata.uid, metadata.name])
  const names = Object.fromEntries(all) as Record<string, string>
  return (uid: string | undefined) => (uid ? (names[uid] ?? uid) : '–')
}
