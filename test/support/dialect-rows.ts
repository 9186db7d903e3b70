import type { EnterRequest, Opened } from '../../libs/spark/src/database/dialect.js';
import type { Entry } from '../../libs/spark/src/database/event-columns.js';
import { select } from '../../libs/spark/src/database/statement.js';
import type { Processes } from './dialect.js';

/** An event that an entity's source has given. */
export const entry = (key: string, more: Partial<Entry> = {}): Entry => ({
  key,
  group: 'group',
  entity: 'challenge',
  entityId: '1',
  source: 'Source.method',
  context: null,
  metadata: null,
  at: null,
  until: null,
  depth: 0,
  cause: null,
  ...more,
});

/** A handler that gets the events of a group. */
export const handler = (name: string, more: Partial<Opened> = {}): Opened => ({
  name,
  priority: 0,
  initialState: 'available',
  groups: ['group'],
  ...more,
});

export const NOW = 1_700_000_000_000;

/** Asks to enter new events of these keys, and to open a delivery of each. */
export const enterRequest = (keys: readonly string[], more: Partial<EnterRequest> = {}): EnterRequest => ({
  entries: keys.map((key) => entry(key)),
  opened: [handler('mail')],
  now: NOW,
  likelyNew: true,
  ...more,
});

/** A delivery, as far as all versions of the table have it. */
export interface DeliveryRow {
  readonly id: string;
  readonly event_id: string;
  readonly event_key: string;
  readonly handler: string;
  readonly state: string;
  readonly attempt: number;
  readonly priority: number;
  readonly suspect: number;
  readonly partition_key: string;
  readonly due_at: number;
  readonly claimed_by: string | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly duration_ms: number | null;
  readonly last_error: string | null;
}

/** All deliveries, in the order in which they were opened. */
export const deliveriesOn = ({ db, tables }: Processes): Promise<DeliveryRow[]> =>
  select<DeliveryRow>(
    db.manager,
    `SELECT d.*, e.event_key FROM ${tables.delivery} d JOIN ${tables.event} e ON e.id = d.event_id ORDER BY d.id`,
  );

/** Texts that a database, a driver or a language may take for one another, or for something else. */
export const TEXTS = [
  // What collations take for the same.
  'a|A|a |a  | a|ä|a\u0308|ß|ss|ÿ|y|i|ı|İ|ﬀ|ff|💡|💡💡|ア|ｱ|あ',
  // Values, lists, and what is quoted.
  'null|NULL|1|01|1.0|1e0|true||{}|{a,b}|[]|o\'clock|"quoted"|`|\\|\\\\|\\n',
  // What stands for something in SQL, and what is not seen.
  '%|_|?|$1|:key|:...keys|--|/*|\n|\t|\u001f|\u0001|\u2028|\ufeff|\u200b|\ue000',
  // As long as a key can be.
  [`${'x'.repeat(254)} `, ...['x', 'X', 'ä', '💡'].map((character) => character.repeat(255))].join('|'),
]
  .flatMap((texts) => texts.split('|'))
  .sort();
