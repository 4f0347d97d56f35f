/** What is shown of something that is asked for: it, that it is on its way, or why it is not to be had. */
import type { ReactNode } from 'react'
import { Alert, Bullseye, EmptyState, EmptyStateBody, Spinner } from '@patternfly/react-core'
import type { UseQueryResult } from '@tanstack/react-query'

interface Props<T> {
  of: UseQueryResult<T>
  children: (found: T) => ReactNode
}

export function Look<T>({ of, children }: Props<T>) {
  if (of.data !== undefined) {
    return (
      <>
        {of.error && <Alert isInline variant="warning" title="This may be old">{of.error.message}</Alert>}
        {children(of.data)}
      </>
    )
  }
  if (of.error) return <Alert isInline variant="danger" title="It cannot be shown">{of.error.message}</Alert>
  return (
    <Bullseye>
      <Spinner aria-label="It is being read" />
    </Bullseye>
  )
}

/** In place of a list without items: what would be there, and how it gets there. */
export function Nothing({ title, children }: { title: string; children: ReactNode }) {
  return (
    <EmptyState titleText={title} headingLevel="h2" variant="sm">
      <EmptyStateBody>{children}</EmptyStateBody>
    </EmptyState>
  )
}
