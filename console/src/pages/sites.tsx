import {
  Alert,
  Button,
  ClipboardCopy,
  Content,
  Flex,
  FlexItem,
  Modal,
  ModalBody,
  ModalHeader,
  PageSection,
  Title,
} from '@patternfly/react-core'
import { useMutation } from '@tanstack/react-query'
import { answer, plane } from '../api/client'
import { useAccounts, useSites } from '../api/look'
import { Items } from '../parts/items'
import { Look, Nothing } from '../parts/look'
import { State } from '../parts/state'
import { Ago } from '../parts/time'

export function SitesPage() {
  return (
    <PageSection>
      <Flex alignItems={{ default: 'alignItemsCenter' }}>
        <Title headingLevel="h1">Sites</Title>
        <FlexItem align={{ default: 'alignRight' }}>
          <Pair />
        </FlexItem>
      </Flex>
      <Gateways />
      <Title headingLevel="h2">Cloud accounts</Title>
      <Accounts />
    </PageSection>
  )
}

function Gateways() {
  const sites = useSites()
  return (
    <Look of={sites}>
      {(all) =>
        all.length === 0 ? (
          <Nothing title="No sites yet">A private cloud gateway in a site dials out to here once it is paired.</Nothing>
        ) : (
          <Items
            label="Sites"
            items={all}
            keyOf={({ metadata }) => metadata.uid}
            columns={[
              ['Gateway', ({ metadata, spec }) => `${metadata.name}${spec.isSystem ? ' (in this plane)' : ''}`],
              ['Link', ({ status }) => <State word={status.state} />],
              ['From', ({ spec }) => spec.ipAddress || '–'],
              ['Last seen', ({ status }) => (status.isReady ? 'now' : <Ago at={status.health.lastHeartBeatTimestamp} />)],
              ['Program', ({ status }) => status.health.agentVersion || '–'],
              ['More', ({ status }) => status.health.conditions?.[0]?.message],
            ]}
          />
        )
      }
    </Look>
  )
}

function Accounts() {
  const [accounts, sites] = [useAccounts(), useSites()]
  const site = (uid: string | undefined) => sites.data?.find(({ metadata }) => metadata.uid === uid)?.metadata.name
  return (
    <Look of={accounts}>
      {(all) =>
        all.length === 0 ? (
          <Nothing title="No cloud accounts yet">
            An account is a MAAS and a key of it, seen through a gateway: <code>bessemer account create</code>.
          </Nothing>
        ) : (
          <Items
            label="Cloud accounts"
            items={all}
            keyOf={({ metadata }) => metadata.uid}
            columns={[
              ['Account', ({ metadata }) => metadata.name],
              ['MAAS', ({ spec }) => spec.apiEndpoint],
              ['Gateway', ({ metadata }) => site(metadata.annotations?.['overlordUid']) ?? '–'],
            ]}
          />
        )
      }
    </Look>
  )
}

/** Asks for a pairing code, and says what to do with it. */
function Pair() {
  const pairing = useMutation({
    mutationFn: async () => (await answer(plane.GET('/v1/overlords/pairing/code'))).pairingCode,
  })
  return (
    <>
      <Button onClick={() => pairing.mutate()} isLoading={pairing.isPending}>
        Pair a gateway
      </Button>
      {pairing.error && <Alert isInline isPlain variant="danger" title={pairing.error.message} />}
      <Modal variant="medium" isOpen={Boolean(pairing.data)} onClose={() => pairing.reset()} aria-label="Pairing code">
        <ModalHeader title="Pair a gateway" />
        <ModalBody>
          <Content component="p">
            Run this at the site, and give it the code when it asks; the code is good once, within an hour:
          </Content>
          <Content component="p">
            <code>bessemer gateway pair --config gateway.toml</code>
          </Content>
          <ClipboardCopy isReadOnly hoverTip="Copy" clickTip="Copied">
            {pairing.data ?? ''}
          </ClipboardCopy>
        </ModalBody>
      </Modal>
    </>
  )
}
