/** What changed, as the plane tells it: what is shown of it is read anew. */
import { useEffect, useState } from 'react'
import { queries, type Schemas } from './client'

/** Which queries begin with what, for each kind of change. */
const AFFECTED: Record<string, string[]> = {
  cluster: ['clusters', 'cluster'],
  overlord: ['sites'],
  'cloud-account': ['accounts'],
  profile: ['profiles'],
  project: ['projects'],
}
/** A browser does not come again by itself after a refusal. */
const AGAIN_AFTER = 5_000

function invalidate(change: Schemas['Change']) {
  for (const first of AFFECTED[change.kind] ?? []) {
    const key = change.uid && first === change.kind ? [first, change.uid] : [first]
    void queries.invalidateQueries({ queryKey: key })
  }
}

/** Follows what changes; whether the plane is heard just now. */
export function useLive(): boolean {
  const [live, setLive] = useState(false)
  useEffect(() => {
    let stream: EventSource
    let timer: ReturnType<typeof setTimeout> | undefined
    const open = () => {
      stream = new EventSource('/v1/changes')
      stream.onopen = () => {
        setLive(true)
        // What changed while nobody listened.
        void queries.invalidateQueries()
      }
      stream.onmessage = (message: MessageEvent<string>) => invalidate(JSON.parse(message.data) as Schemas['Change'])
      stream.onerror = () => {
        setLive(false)
        if (stream.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_AFTER)
      }
    }
    open()
    return () => {
      clearTimeout(timer)
      stream.close()
    }
  }, [])
  return live
}
