/** The plane's /v1, typed by its OpenAPI document. */
import { QueryClient } from '@tanstack/react-query'
import createClient, { type Middleware } from 'openapi-fetch'
import type { components, paths } from './schema'

export type Schemas = components['schemas']

/** A refusal of the plane: its sentence is for people. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

const SCOPE = 'bessemer.project'

/** The project that is looked at; none: all that the user sees. */
export const scope = {
  get: () => localStorage.getItem(SCOPE) ?? '',
  set: (uid: string) => localStorage.setItem(SCOPE, uid),
}

/** Routes of the tenant, whatever project is looked at. */
const OF_THE_TENANT = /^\/v1\/(auth|users|overlords|dashboard\/projects|projects)\b/

const headers: Middleware = {
  onRequest({ request, schemaPath }) {
    // Another site's page cannot send it: so the plane takes the cookie for changes, too.
    request.headers.set('X-Requested-With', 'bessemer-console')
    const project = scope.get()
    if (project && !OF_THE_TENANT.test(schemaPath)) request.headers.set('ProjectUid', project)
    return request
  },
}

export const plane = createClient<paths>({ baseUrl: window.location.origin })
plane.use(headers)

type Answered<T> = { data?: T; error?: unknown; response: Response }

/** What was answered, or the refusal as an exception. */
export async function answer<T>(call: Promise<Answered<T>>): Promise<T> {
  const { data, error, response } = await call
  if (response.ok) return data as T
  const said = (error ?? {}) as Partial<Schemas['ErrorBody']>
  throw new Refusal(response.status, said.code ?? response.statusText, said.message ?? 'the plane answers no more')
}

const isRefused = (error: unknown) => error instanceof Refusal && error.status < 500 && error.status !== 429

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Changes are told; this is for what gets lost.
      staleTime: 30_000,
      retry: (count, error) => !isRefused(error) && count < 5,
    },
  },
})
