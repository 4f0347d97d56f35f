import { PageSection, Title } from '@patternfly/react-core'
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table'
import { Link } from 'react-router'
import { useClusters, useProjects, useSites } from '../api/look'
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
            <Table aria-label="Clusters" variant="compact">
              <Thead>
                <Tr>
                  <Th>Name</Th>
                  <Th>State</Th>
                  <Th>Health</Th>
                  <Th>Project</Th>
                  <Th>Site</Th>
                  <Th>Made</Th>
                  <Th>What is going on</Th>
                </Tr>
              </Thead>
              <Tbody>
                {all.map(({ metadata, status }) => (
                  <Tr key={metadata.uid}>
                    <Td dataLabel="Name">
                      <Link to={`/clusters/${metadata.uid}`}>{metadata.name}</Link>
                    </Td>
                    <Td dataLabel="State">
                      <State word={status.state} />
                    </Td>
                    <Td dataLabel="Health">
                      <State word={status.health.state} />
                    </Td>
                    <Td dataLabel="Project">{names(metadata.annotations?.['projectUid'])}</Td>
                    <Td dataLabel="Site">{names(metadata.annotations?.['overlordUid'])}</Td>
                    <Td dataLabel="Made">
                      <Ago at={metadata.creationTimestamp} />
                    </Td>
                    <Td dataLabel="What is going on">{status.health.conditions[0]?.message}</Td>
                  </Tr>
                ))}
              </Tbody>
            </Table>
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
