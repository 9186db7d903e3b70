import { TableIndex, type TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v3 } from './v3.js';

/** Version 4 adds the index of queues. Claims by handler read it, so that a backlog of one handler does not slow the others. */
export const v4: SchemaVersion = {
  version: 4,
  migration: 'IndexSparkQueues1796060000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
    if (await replacesDue(place)) await changeIndex(place, 'due', false);
  },

  async down(place) {
    if (await replacesDue(place)) await changeIndex(place, 'due', true);
    await changeIndex(place, 'queue', false);
  },
};

const COLUMNS = ['handler', 'suspect', 'priority', 'due_at', 'id'];

async function tables(place: Place): Promise<TableOptions[]> {
  const { partialIndexes } = await columnTypes(place.runner);
  const queue = {
    name: nameOf(place, 'queue'),
    ...(partialIndexes
      ? { columnNames: COLUMNS, where: `state = 'available'` }
      : { columnNames: ['state', ...COLUMNS] }),
  };
  const replaces = await replacesDue(place);
  const former = await v3.tables(place);
  const delivery = deliveryOf(former, place);
  const kept = delivery.indices!.filter(({ name }) => !replaces || name !== nameOf(place, 'due'));
  return former.map((table) => (table === delivery ? { ...table, indices: [...kept, queue] } : table));
}

// Without their index, claims of processes of the previous release would lock all available deliveries on MariaDB and MySQL. So it stays
// there as long as such processes may run.
const replacesDue = async ({ runner }: Place): Promise<boolean> => (await columnTypes(runner)).partialIndexes;

const deliveryOf = (tablesOf: readonly TableOptions[], { names }: Place): TableOptions =>
  tablesOf.find(({ name }) => name === names.plain.delivery)!;

const nameOf = ({ names }: Place, part: string): string => `${names.plain.delivery.split('.').at(-1)!}_${part}`;

/** Creates an index of the deliveries as version 3 has it, or drops it, unless that is done already. */
async function changeIndex(place: Place, part: string, create: boolean): Promise<void> {
  const { runner, names } = place;
  const name = nameOf(place, part);
  const found = (await runner.getTable(names.plain.delivery))!.indices.find((index) => index.name === name);
  if (!create && found) await runner.dropIndex(names.plain.delivery, found);
  const wanted = deliveryOf(await v3.tables(place), place).indices!.find((index) => index.name === name);
  if (create && !found) await runner.createIndex(names.plain.delivery, new TableIndex(wanted!));
}
