import type { DeliveryRecord } from 'nestjs-spark';
import { type Column, firstLine, link, state } from '../view/elements.js';
import type { View } from '../view/view.js';

type Name = 'event' | 'group' | 'handler' | 'state' | 'attempt' | 'due' | 'finished' | 'error';

/** The columns of a table of deliveries, without some of them. */
export function deliveryColumns(view: View, without: readonly Name[] = []): Column<DeliveryRecord>[] {
  const { texts, format } = view;
  const { fields } = texts;
  const columns: Record<Name, Column<DeliveryRecord>> = {
    event: { head: fields.key, cell: ({ event: { key } }) => link(key, 'event', { key }) },
    group: { head: fields.group, cell: ({ event: { group } }) => link(group, 'deliveries', { group }) },
    handler: { head: fields.handler, cell: ({ handler, id }) => link(handler, 'delivery', { id }) },
    state: { head: fields.state, cell: (delivery) => state(view, delivery.state) },
    attempt: { head: fields.attempt, cell: ({ attempt }) => format.number(attempt), isNumber: true },
    due: { head: fields.due, cell: ({ due }) => format.time(due) },
    finished: { head: fields.finished, cell: ({ finished }) => format.time(finished) },
    error: { head: fields.error, cell: ({ error }) => firstLine(view, error) },
  };
  return (Object.keys(columns) as Name[]).filter((name) => !without.includes(name)).map((name) => columns[name]);
}
