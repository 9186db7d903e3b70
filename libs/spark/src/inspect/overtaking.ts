import type { EntityManager } from 'typeorm';
import { select } from '../database/statement.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';
import type { Inspected } from './inspected.js';

/** The states of a delivery whose handler is still to end well. */
const OPEN = `('available', 'running', 'held')`;

/**
 * The events among `keys` that would overtake an earlier one of their entity: one with a lower number, which is not among `keys`, and which
 * the handler is still to get. Each comes with the time until the last of those is due, in milliseconds: 0 if that has passed.
 *
 * The index of subjects finds the events of an entity, so it costs as much as these entities have events.
 */
export async function overtaking(
  manager: EntityManager,
  { tables: { event, delivery }, clock }: Inspected,
  handler: Handler,
  keys: readonly string[],
): Promise<Map<string, number>> {
  if (keys.length === 0) return new Map();
  const rows = await select<{ event_key: string; due: string }>(
    manager,
    `SELECT e.event_key, MAX(d.due_at) AS due
     FROM ${event} e
       JOIN ${event} p ON p.entity = e.entity AND p.entity_id = e.entity_id AND p.id < e.id
       JOIN ${delivery} d ON d.event_id = p.id
     WHERE e.event_key IN (:...keys) AND p.event_key NOT IN (:...keys) AND d.handler IN (:...names) AND d.state IN ${OPEN}
     GROUP BY e.event_key`,
    { keys, names: namesOf(handler) },
  );
  const now = clock.now();
  return new Map(rows.map(({ event_key: key, due }) => [key, Math.max(0, Math.ceil(Number(due) - now))]));
}
