import { Card, CardBody, CardTitle, Label, LabelGroup, PageSection, Title } from '@patternfly/react-core'
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table'
import { useAccounts, useMachines } from '../api/look'
import { Look, Nothing } from '../parts/look'
import { State } from '../parts/state'

export function MachinesPage() {
  const accounts = useAccounts()
  return (
    <PageSection>
      <Title headingLevel="h1">Machines</Title>
      <Look of={accounts}>
        {(all) =>
          all.length === 0 ? (
            <Nothing title="No machines in sight">
              A cloud account shows the machines of a MAAS: <code>bessemer account create</code>.
            </Nothing>
          ) : (
            all.map(({ metadata }) => <Account key={metadata.uid} uid={metadata.uid ?? ''} name={metadata.name ?? ''} />)
          )
        }
      </Look>
    </PageSection>
  )
}

function Account({ uid, name }: { uid: string; name: string }) {
  const machines = useMachines(uid)
  const free = machines.data?.filter((machine) => machine.free).length
  return (
    <Card isPlain isCompact>
      <CardTitle component="h2">
        {name}
        {machines.data && ` · ${machines.data.length} machines, ${free} free`}
      </CardTitle>
      <CardBody>
        <Look of={machines}>
          {(all) => (
            <Table aria-label={`Machines of ${name}`} variant="compact">
              <Thead>
                <Tr>
                  <Th>Name</Th>
                  <Th>State</Th>
                  <Th>Power</Th>
                  <Th>Zone</Th>
                  <Th>Pool</Th>
                  <Th>Cores</Th>
                  <Th>Memory</Th>
                  <Th>Disks</Th>
                  <Th>Tags</Th>
                </Tr>
              </Thead>
              <Tbody>
                {all.map((machine) => (
                  <Tr key={machine.systemId}>
                    <Td dataLabel="Name">{machine.hostname}</Td>
                    <Td dataLabel="State">
                      <State word={machine.status} />
                    </Td>
                    <Td dataLabel="Power">{machine.power}</Td>
                    <Td dataLabel="Zone">{machine.zone}</Td>
                    <Td dataLabel="Pool">{machine.pool}</Td>
                    <Td dataLabel="Cores">{machine.cpus}</Td>
                    <Td dataLabel="Memory">{(machine.memoryMiB / 1024).toFixed(1)} GiB</Td>
                    <Td dataLabel="Disks">{machine.storageGB.toFixed(0)} GB</Td>
                    <Td dataLabel="Tags">
                      <LabelGroup>
                        {machine.tags.map((tag) => (
                          <Label key={tag} isCompact>
                            {tag}
                          </Label>
                        ))}
                      </LabelGroup>
                    </Td>
                  </Tr>
                ))}
              </Tbody>
            </Table>
          )}
        </Look>
      </CardBody>
    </Card>
  )
}
