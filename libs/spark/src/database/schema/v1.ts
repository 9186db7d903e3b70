import type { TableColumnOptions, TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete } from './completion.js';
import { agendaOf } from './former-names.js';
import type { Place, SchemaVersion } from './schema-version.js';

/** The first tables, which had no version yet. */
export const v1: SchemaVersion = {
  version: 1,
  migration: 'CreateSparkTables1764000000000',
  release: '0.1.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
  },

  async down(place) {
    for (const { name } of (await tables(place)).toReversed()) await place.runner.dropTable(name, true);
  },
};

async function tables({ runner, names }: Place): Promise<TableOptions[]> {
  const { id, exact, subject, longText, extraColumns, partialIndexes, rechecksByTime } = await columnTypes(runner);
  const { plain } = names;
  const agenda = agendaOf(names).plain;
  const text = (name: string, length: number) => ({ name, ...exact(length) });
  const maybe = (column: TableColumnOptions) => ({ ...column, isNullable: true });
  const time = (name: string) => ({ name, type: 'bigint' });
  const entity = [text('entity', 128), { name: 'entity_id', ...subject }];
  const counts = ['attempt', 'depth'].map((name) => ({ name, type: 'int' }));
  return [
    {
      name: plain.event,
      columns: [
        id,
        text('event_key', 255),
        text('event_group', 100),
        ...entity.map(maybe),
        maybe(text('source', 255)),
        maybe({ name: 'context', ...longText }),
        maybe(time('at')),
        maybe(time('until_at')),
        time('recorded_at'),
        { name: 'depth', type: 'int' },
        ...extraColumns,
      ],
      indices: [
        { name: index(plain.event, 'key'), columnNames: ['event_key'], isUnique: true },
        { name: index(plain.event, 'subject'), columnNames: ['entity', 'entity_id'] },
      ],
    },
    {
      name: plain.delivery,
      columns: [
        id,
        { name: 'event_id', type: id.type },
        text('handler', 100),
        text('state', 10),
        { name: 'attempt', type: 'int' },
        { name: 'priority', type: 'int' },
        { name: 'suspect', type: 'int' },
        time('due_at'),
        maybe(text('claimed_by', 64)),
        maybe(time('started_at')),
        maybe(time('finished_at')),
        maybe({ name: 'duration_ms', type: 'int' }),
        maybe({ name: 'last_error', ...longText }),
      ],
      indices: [
        { name: index(plain.delivery, 'event'), columnNames: ['event_id', 'handler'], isUnique: true },
        partialIndexes
          ? {
              name: index(plain.delivery, 'due'),
              columnNames: ['suspect', 'priority', 'due_at', 'id'],
              where: `state = 'available'`,
            }
          : { name: index(plain.delivery, 'due'), columnNames: ['state', 'suspect', 'priority', 'due_at', 'id'] },
        partialIndexes
          ? { name: index(plain.delivery, 'running'), columnNames: ['claimed_by'], where: `state = 'running'` }
          : { name: index(plain.delivery, 'running'), columnNames: ['claimed_by', 'state'] },
        // On other databases the index of due deliveries begins with the state.
        ...(partialIndexes
          ? ['held', 'discarded'].map((state) => ({
              name: index(plain.delivery, state),
              columnNames: ['id'],
              where: `state = '${state}'`,
            }))
          : []),
      ],
    },
    rechecksByTime
      ? {
          name: agenda,
          columns: [
            ...[time('due_at'), ...entity].map((column) => ({ ...column, isPrimary: true })),
            // The largest whole number of JavaScript.
            { name: 'id', type: 'integer', isPrimary: true, default: 'random() >> 11' },
            ...counts,
          ],
          withoutRowid: true,
        }
      : {
          name: agenda,
          columns: [id, ...entity, time('due_at'), ...counts],
          indices: [
            { name: index(agenda, 'due'), columnNames: ['due_at', 'id'] },
            { name: index(agenda, 'subject'), columnNames: ['entity', 'entity_id'] },
          ],
        },
    {
      name: plain.handler,
      columns: [
        { ...text('name', 100), isPrimary: true },
        { name: 'pattern', ...longText },
        { name: 'priority', type: 'int' },
        { name: 'revision', type: 'int' },
        time('first_seen_at'),
        time('last_seen_at'),
      ],
    },
    {
      name: plain.worker,
      columns: [
        { ...text('id', 64), isPrimary: true },
        time('lease_until'),
        text('host', 255),
        { name: 'pid', type: 'int' },
        time('started_at'),
      ],
    },
    {
      name: plain.sweep,
      columns: [
        { ...text('source', 255), isPrimary: true },
        maybe(text('holder', 64)),
        maybe(time('held_until')),
        maybe(time('slot')),
        maybe(time('began_at')),
        maybe({ name: 'reached', ...subject }),
        { name: 'baseline', type: 'int' },
        maybe(time('swept_at')),
        maybe(time('finished_at')),
        { name: 'found', type: 'bigint' },
        { name: 'missed', type: 'bigint' },
      ],
    },
    {
      name: plain.group,
      columns: [
        { ...text('source', 255), isPrimary: true },
        { ...text('name', 100), isPrimary: true },
        maybe(time('swept_at')),
      ],
    },
  ];
}

const index = (table: string, name: string): string => `${table.split('.').at(-1)!}_${name}`;
