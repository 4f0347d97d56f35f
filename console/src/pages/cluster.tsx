import {
  Alert,
  Breadcrumb,
  BreadcrumbItem,
  Button,
  Card,
  CardBody,
  CardTitle,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Flex,
  FlexItem,
  Grid,
  GridItem,
  PageSection,
  Title,
} from '@patternfly/react-core'
import { DownloadIcon } from '@patternfly/react-icons'
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table'
import { useMutation } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link, useParams } from 'react-router'
import { answer, plane, type Schemas } from '../api/client'
import { useCluster } from '../api/look'
import { Items } from '../parts/items'
import { Look } from '../parts/look'
import { State } from '../parts/state'
import { Ago } from '../parts/time'
import { Timeline } from '../parts/timeline'

type Seen = NonNullable<ReturnType<typeof useCluster>['data']>
/** From these a cluster goes on by itself only when somebody wants something else of it. */
const SETTLED = ['Running', 'Deleted']

export function ClusterPage() {
  const { uid = '' } = useParams()
  const cluster = useCluster(uid)
  return (
    <PageSection>
      <Look of={cluster}>{(seen) => <One uid={uid} seen={seen} />}</Look>
    </PageSection>
  )
}

function One({ uid, seen }: { uid: string; seen: Seen }) {
  const { cluster, pools, events } = seen
  const { status } = cluster
  const settled = SETTLED.includes(status.state)
  const waits = status.conditions.find((condition) => condition.message)
  return (
    <>
      <Breadcrumb>
        <BreadcrumbItem>
          <Link to="/clusters">Clusters</Link>
        </BreadcrumbItem>
        <BreadcrumbItem isActive>{cluster.metadata.name}</BreadcrumbItem>
      </Breadcrumb>
      <Flex alignItems={{ default: 'alignItemsCenter' }}>
        <Title headingLevel="h1">{cluster.metadata.name}</Title>
        <State word={status.state} />
        <FlexItem align={{ default: 'alignRight' }}>
          <Kubeconfig uid={uid} name={cluster.metadata.name ?? uid} isThere={Boolean(status.endpoint)} />
        </FlexItem>
      </Flex>
      {waits && !settled && <Alert isInline isPlain variant="info" title={waits.message} />}
      <Grid hasGutter>
        <GridItem lg={4} md={12}>
          <Part title="Timeline">
            <Timeline phases={status.timeline} settled={settled} />
          </Part>
        </GridItem>
        <GridItem lg={8} md={12}>
          <Part title="What it is">
            <About seen={seen} />
          </Part>
          <Part title="Layers">
            <Layers packs={status.packs} />
          </Part>
          <Part title="Machines">
            <Machines pools={pools} />
          </Part>
          <Part title="Events">
            <Events events={events} />
          </Part>
        </GridItem>
      </Grid>
    </>
  )
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Card isCompact isPlain>
      <CardTitle component="h2">{title}</CardTitle>
      <CardBody>{children}</CardBody>
    </Card>
  )
}

function About({ seen: { cluster, config } }: { seen: Seen }) {
  const infra = cluster.spec.clusterProfileTemplates
    .flatMap((profile) => profile.packs)
    .filter((pack) => ['os', 'k8s'].includes(pack.layer))
    .map((pack) => `${pack.name} ${pack.tag}`.trim())
  const facts: [string, ReactNode][] = [
    ['Kubernetes API, within the site', cluster.status.endpoint ?? 'none yet'],
    ['Cloud account', config.spec.cloudAccountRef.name],
    ['Profiles', cluster.spec.clusterProfileTemplates.map((one) => `${one.name} ${one.profileVersion}`).join(', ')],
    ['Operating system and Kubernetes', infra.join(', ')],
    ['Made', <Ago key="made" at={cluster.metadata.creationTimestamp} />],
  ]
  return (
    <DescriptionList isHorizontal isCompact>
      {facts.map(([term, fact]) => (
        <DescriptionListGroup key={term}>
          <DescriptionListTerm>{term}</DescriptionListTerm>
          <DescriptionListDescription>{fact}</DescriptionListDescription>
        </DescriptionListGroup>
      ))}
    </DescriptionList>
  )
}

function Layers({ packs }: { packs: Schemas['PackStatus'][] }) {
  if (packs.length === 0) return <>nothing is installed yet: its API is not there</>
  return (
    <Items
      label="Layers"
      items={packs}
      keyOf={(pack) => pack.name}
      columns={[
        ['Layer', (pack) => pack.name],
        ['Version', (pack) => pack.version],
        ['State', (pack) => <State word={pack.condition.reason} />],
        ['Message', (pack) => pack.condition.message],
      ]}
    />
  )
}

function Machines({ pools }: { pools: Seen['pools'] }) {
  return (
    <Table aria-label="Machines" variant="compact">
      <Thead>
        <Tr>
          <Th>Pool</Th>
          <Th>Node</Th>
          <Th>State</Th>
          <Th>Addresses</Th>
          <Th modifier="nowrap">Message</Th>
        </Tr>
      </Thead>
      {pools.map((pool) => (
        <Tbody key={pool.name}>
          {pool.machines.map(({ metadata, status }, place) => (
            <Tr key={metadata.uid}>
              <Td dataLabel="Pool">{place === 0 && <PoolName pool={pool} />}</Td>
              <Td dataLabel="Node">{status.node || metadata.name}</Td>
              <Td dataLabel="State">
                <State word={status.ready ? 'Ready' : status.instanceState} />
              </Td>
              <Td dataLabel="Addresses">{numbers(status.addresses).join(', ')}</Td>
              <Td dataLabel="Message">{status.message}</Td>
            </Tr>
          ))}
          {pool.machines.length === 0 && (
            <Tr>
              <Td dataLabel="Pool">
                <PoolName pool={pool} />
              </Td>
              <Td colSpan={4}>no machines yet</Td>
            </Tr>
          )}
        </Tbody>
      ))}
    </Table>
  )
}

/** IP addresses, each once; names are among a machine's addresses, too. */
function numbers(addresses: string[]) {
  return [...new Set(addresses.filter((address) => /^[0-9a-f.:]+$/i.test(address) && /[.:]/.test(address)))]
}

function PoolName({ pool }: { pool: Seen['pools'][number] }) {
  const ready = pool.machines.filter((machine) => machine.status.ready).length
  return (
    <>
      {pool.name} <small>({`${ready} of ${pool.size} ready${pool.isControlPlane ? ', control plane' : ''}`})</small>
    </>
  )
}

function Events({ events }: { events: Schemas['Event'][] }) {
  return (
    <Items
      label="Events"
      items={events}
      keyOf={(event, place) => event.metadata.name ?? place}
      columns={[
        ['When', (event) => <Ago at={event.metadata.creationTimestamp} />],
        ['What', (event) => event.reason],
        ['Said', (event) => event.message],
        ['By', (event) => event.source.component],
      ]}
    />
  )
}

/** The user's own kubeconfig, as a file. */
function Kubeconfig({ uid, name, isThere }: { uid: string; name: string; isThere: boolean }) {
  const getting = useMutation({
    mutationFn: async () => {
      const params = { path: { uid } }
      const call = plane.GET('/v1/spectroclusters/{uid}/assets/kubeconfigclient', { params, parseAs: 'blob' })
      const link = document.createElement('a')
      link.href = URL.createObjectURL((await answer(call)) as unknown as Blob)
      link.download = `${name}.kubeconfig`
      link.click()
      URL.revokeObjectURL(link.href)
    },
  })
  return (
    <>
      <Button
        variant="secondary"
        icon={<DownloadIcon />}
        isDisabled={!isThere}
        isLoading={getting.isPending}
        onClick={() => getting.mutate()}
      >
        Kubeconfig
      </Button>
      {getting.error && <Alert isInline isPlain variant="danger" title={getting.error.message} />}
    </>
  )
}
