import { Card, CardBody, CardTitle, Label, LabelGroup, PageSection, Title } from '@patternfly/react-core'
import { useAccounts, useMachines } from '../api/look'
import { Items } from '../parts/items'
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
            <Items
              label={`Machines of ${name}`}
              items={all}
              keyOf={(machine) => machine.systemId}
              columns={[
                ['Name', (machine) => machine.hostname],
                ['State', (machine) => <State word={machine.status} />],
                ['Power', (machine) => machine.power],
                ['Zone', (machine) => machine.zone],
                ['Pool', (machine) => machine.pool],
                ['Cores', (machine) => machine.cpus],
                ['Memory', (machine) => `${(machine.memoryMiB / 1024).toFixed(1)} GiB`],
                ['Disks', (machine) => `${machine.storageGB.toFixed(0)} GB`],
                ['Tags', (machine) => <Tags tags={machine.tags} />],
              ]}
            />
          )}
        </Look>
      </CardBody>
    </Card>
  )
}

function Tags({ tags }: { tags: string[] }) {
  return (
    <LabelGroup>
      {tags.map((tag) => (
        <Label key={tag} isCompact>
          {tag}
        </Label>
      ))}
    </LabelGroup>
  )
}
