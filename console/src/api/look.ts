/** What pages look at. */
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { answer, plane } from './client'

const ALL = { params: { query: { limit: 0 } } }
/** MAAS tells nobody when something changes. */
const ASK_EVERY = 10_000

export const useProjects = () =>
  useQuery({
    queryKey: ['projects'],
    queryFn: async () => (await answer(plane.GET('/v1/dashboard/projects/metadata'))).items,
  })

export const useClusters = () =>
  useQuery({
    queryKey: ['clusters'],
    queryFn: async () =>
      (await answer(plane.POST('/v1/dashboard/spectroclusters/search', { ...ALL, body: { filter: {} } }))).items,
  })

export const useSites = () =>
  useQuery({
    queryKey: ['sites'],
    queryFn: async () => (await answer(plane.GET('/v1/overlords', ALL))).items,
  })

export const useAccounts = () =>
  useQuery({
    queryKey: ['accounts'],
    queryFn: async () => (await answer(plane.GET('/v1/cloudaccounts/maas', ALL))).items,
  })

/** One cluster: itself, its pools with their machines, its events. */
export const useCluster = (uid: string) =>
  useQuery({
    queryKey: ['cluster', uid],
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const params = { path: { uid } }
      const [cluster, config, events] = await Promise.all([
        answer(plane.GET('/v1/spectroclusters/{uid}', { params })),
        answer(plane.GET('/v1/cloudconfigs/maas/{uid}', { params })),
        answer(
          plane.GET('/v1/events/components/{objectKind}/{objectUid}', {
            params: { path: { objectKind: 'spectrocluster', objectUid: uid } },
          }),
        ),
      ])
      const pools = await Promise.all(
        config.spec.machinePoolConfig.map(async (pool) => {
          const poolName = String(pool['name'])
          const machines = await answer(
            plane.GET('/v1/cloudconfigs/maas/{uid}/machinePools/{poolName}/machines', {
              params: { path: { uid, poolName }, ...ALL.params },
            }),
          )
          return {
            name: poolName,
            size: Number(pool['size'] ?? 0),
            isControlPlane: pool['isControlPlane'] === true,
            machines: machines.items,
          }
        }),
      )
      return { cluster, config, pools, events: events.items }
    },
  })

/** The machines of an account's MAAS, as they are now. */
export const useMachines = (uid: string) =>
  useQuery({
    queryKey: ['machines', uid],
    refetchInterval: ASK_EVERY,
    queryFn: async () =>
      (await answer(plane.GET('/v1/cloudaccounts/maas/{uid}/properties/machines', { params: { path: { uid } } })))
        .machines,
  })
