/** Who is signed in. The session is in a cookie that no script can read. */
import { useEffect } from 'react'
import { useQuery } from '@tanstack/react-query'
import { Refusal, answer, plane, queries, scope } from './client'

const WHO = ['who']
/** A session lives for 15 minutes. */
const PROLONG_EVERY = 5 * 60_000

/** The user; null where nobody is signed in, undefined until that is known. */
export function useWho() {
  return useQuery({
    queryKey: WHO,
    queryFn: async () => {
      try {
        return await answer(plane.GET('/v1/users/info'))
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) return null
        throw error
      }
    },
  })
}

export async function signIn(emailId: string, password: string) {
  const query = { setCookie: 'true' }
  // The document has no queries; openapi-fetch passes on what it is given.
  await answer(plane.POST('/v1/auth/authenticate', { params: { query } as never, body: { emailId, password } }))
  await queries.resetQueries()
}

export async function signOut() {
  await answer(plane.DELETE('/v1/auth/session'))
  scope.set('')
  signedOut()
}

/** Forgets all that the user saw. */
export function signedOut() {
  queries.setQueryData(WHO, null)
  queries.removeQueries({ predicate: (query) => query.queryKey[0] !== WHO[0] })
}

/** Keeps the session alive while the page is open. */
export function useProlonging() {
  useEffect(() => {
    const prolong = async () => {
      try {
        await answer(plane.PUT('/v1/auth/session'))
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) signedOut()
      }
    }
    const timer = setInterval(() => void prolong(), PROLONG_EVERY)
    return () => clearInterval(timer)
  }, [])
}
