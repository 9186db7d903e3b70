import type { EntityManager } from 'typeorm';
import { select } from '../database/statement.js';
import type { HeldGroup } from './health.js';
import type { Inspected } from './inspected.js';
import { deliveryPage } from './record-pages.js';
import type { DeliveryRecord } from './records.js';

/** What `SparkService.held()` is asked for. */
export interface HeldRequest {
  /** How many held deliveries of all groups are counted at most, about the oldest ones. Default: 10,000. */
  readonly countUpTo?: number;
}

/** Held deliveries of a group: how many, since when, and some of them. */
export interface HeldSample extends HeldGroup {
  /** The first of them, at most 5, the latest event first. */
  readonly sample: readonly DeliveryRecord[];
}

const SAMPLE = 5;
const MOST_GROUPS = 100;
export const MOST_HELD = 10_000;

/** Reads held deliveries by group, at most `most` of them. */
export async function heldOf(manager: EntityManager, spark: Inspected, most: number): Promise<HeldSample[]> {
  const { dialect, tables } = spark;
  const held = `SELECT id, event_id, due_at FROM ${tables.delivery} WHERE state = 'held' ORDER BY ${dialect.heldOrder} LIMIT ${most}`;
  const own = '(PARTITION BY e.event_group ORDER BY d.id)';
  const all = '(PARTITION BY e.event_group)';
  const rows = await select<{ name: string; id: string; n: string; since: string }>(
    manager,
    `SELECT name, id, n, since FROM (
       SELECT e.event_group AS name, d.id, ROW_NUMBER() OVER ${own} AS nth, COUNT(*) OVER ${all} AS n, MIN(d.due_at) OVER ${all} AS since
       FROM (${held}) d ${dialect.lookedUp(tables.event, 'e', 'd.event_id')}) g
     WHERE nth <= ${SAMPLE} ORDER BY name, nth`,
  );
  const groups = new Map<string, { group: string; deliveries: number; since: Date; ids: string[] }>();
  for (const { name, id, n, since } of rows) {
    const group = groups.get(name) ?? { group: name, deliveries: Number(n), since: new Date(Number(since)), ids: [] };
    if (groups.size < MOST_GROUPS || groups.has(name)) groups.set(name, group);
    group.ids.push(id);
  }
  const ids = [...groups.values()].flatMap((group) => group.ids);
  const { records } =
    ids.length === 0
      ? { records: [] }
      : await deliveryPage(spark, { deliveryId: ids }, undefined, { limit: ids.length });
  return [...groups.values()].map(({ ids: first, ...group }) => ({
    ...group,
    sample: records.filter(({ id }) => first.includes(id)),
  }));
}
