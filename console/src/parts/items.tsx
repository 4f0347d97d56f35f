import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table'
import type { Key, ReactNode } from 'react'

/** A column's heading, and what stands under it for each item. */
type Column<T> = [heading: string, cell: (item: T) => ReactNode]

/** A table of equal things. `label` is its accessible name; `keyOf` tells one item from another. */
export function Items<T>({
  label,
  items,
  keyOf,
  columns,
}: {
  label: string
  items: T[]
  keyOf: (item: T, place: number) => Key | undefined
  columns: Column<T>[]
}) {
  return (
    <Table aria-label={label} variant="compact">
      <Thead>
        <Tr>
          {columns.map(([heading]) => (
            <Th key={heading} modifier="nowrap">
              {heading}
            </Th>
          ))}
        </Tr>
      </Thead>
      <Tbody>
        {items.map((item, place) => (
          <Tr key={keyOf(item, place)}>
            {columns.map(([heading, cell]) => (
              <Td key={heading} dataLabel={heading}>
                {cell(item)}
              </Td>
            ))}
          </Tr>
        ))}
      </Tbody>
    </Table>
  )
}
