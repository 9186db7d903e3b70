/**
 * The columns of the delivery table: how deliveries are opened, changed and read. A new column needs a change of this file, and a new
 * version in `schema/`.
 */
import { BASELINE, type DeliveryState, type InitialState } from './delivery-states.js';

/** A delivery that is opened. */
export interface Opening {
  readonly eventId: string | number | bigint;
  readonly handler: string;
  readonly priority: number;
  readonly initialState: InitialState;
  readonly partition: string;
}

/** A column of a delivery that is opened: its value, and the same as an expression in SQL over a row `o` of openings. */
interface OpenedColumn {
  readonly name: string;
  readonly of: (opening: Opening, now: number) => unknown;
  readonly sql: (event: string, now: string) => string;
}

const ifDiscarded = (value: string) => `CASE WHEN o.state = 'discarded' THEN ${value} END`;

const OPENED: readonly OpenedColumn[] = [
  { name: 'event_id', of: ({ eventId }) => eventId, sql: (event) => event },
  { name: 'handler', of: ({ handler }) => handler, sql: () => 'o.handler' },
  { name: 'state', of: ({ initialState }) => initialState, sql: () => 'o.state' },
  { name: 'attempt', of: () => 0, sql: () => '0' },
  { name: 'priority', of: ({ priority }) => priority, sql: () => 'o.priority' },
  { name: 'suspect', of: () => 0, sql: () => '0' },
  { name: 'partition_key', of: ({ partition }) => partition, sql: () => 'o.partition_key' },
  { name: 'due_at', of: (_, now) => now, sql: (_, now) => now },
  { name: 'finished_at', of: (opening, now) => endOf(opening, now), sql: (_, now) => ifDiscarded(now) },
  { name: 'last_error', of: (opening) => endOf(opening, BASELINE), sql: () => ifDiscarded(`'${BASELINE}'`) },
];

/** A value that only a delivery has that is opened as discarded. */
const endOf = <T>({ initialState }: Opening, value: T): T | null => (initialState === 'discarded' ? value : null);

/** The columns of a delivery that is opened. */
export const OPENED_COLUMNS = OPENED.map(({ name }) => name).join(', ');

/** One placeholder for each of {@link OPENED_COLUMNS}. */
export const OPENED_PLACES = OPENED.map(() => '?').join(', ');

/** The values of {@link OPENED_COLUMNS}. */
export const openedRow = (opening: Opening, now: number): unknown[] => OPENED.map(({ of }) => of(opening, now));

/** The values of {@link OPENED_COLUMNS} in SQL, for a row `o` of handler, state, priority and partition. */
export const openedSql = (event: string, now: string): string => OPENED.map(({ sql }) => sql(event, now)).join(', ');

/**
 * The SET clauses of the changes between the states. Names after a colon are parameters. A change that a dialect sends with parameters
 * of another form is a function of them.
 */
export const SET = {
  claimed: (worker = ':worker', now = ':now'): string =>
    `state = 'running', attempt = attempt + 1, claimed_by = ${worker}, started_at = ${now}`,
  /** A carrier brings it to the process that handles it. If it gets lost, it is due again. */
  dispatched: (dispatcher = ':worker', due = ':due') => `claimed_by = ${dispatcher}, due_at = ${due}`,
  /** It has arrived. It was due when it was sent: what is given back must not wait until it would have been back. */
  takenOver: (worker = ':worker', now = ':now', ttl = ':ttl'): string =>
    `${SET.claimed(worker, now)}, due_at = CASE WHEN due_at - ${ttl} < ${now} THEN due_at - ${ttl} ELSE ${now} END`,
  /** It is not on its way any more. */
  recalled: 'claimed_by = NULL, due_at = :due',
  completed: (now: string, durationMs: string) =>
    `state = 'completed', finished_at = ${now}, last_error = NULL, fingerprint = NULL, suspect = 0, duration_ms = ${durationMs}`,
  skipped: `state = 'skipped', finished_at = :now, suspect = 0, last_error = :reason, fingerprint = NULL`,
  /** The attempt has failed, and another one follows. */
  retried: `state = 'available', due_at = :due, claimed_by = NULL, suspect = 0, last_error = :error, fingerprint = :fingerprint`,
  /** The last attempt has failed. */
  failed: `state = 'discarded', finished_at = :now, suspect = 0, last_error = :error, fingerprint = :fingerprint`,
  /** It is given up. An error that it has stays. */
  discarded: `state = 'discarded', finished_at = :now, suspect = 0, last_error = COALESCE(last_error, :error)`,
  erased: 'last_error = :erased, fingerprint = NULL',
  givenBack: `state = 'available', attempt = attempt - 1, claimed_by = NULL`,
  /** The process that was handling it is dead. */
  freed: `state = 'available', claimed_by = NULL`,
  released: `state = 'available', due_at = :now`,
  /** It is delivered again, with all its attempts. */
  again: `state = 'available', attempt = 0, suspect = 0, due_at = :now, claimed_by = NULL, finished_at = NULL`,
} as const;

/** The condition that a delivery is on its way: a carrier brings it to a process. It may be lost, and due again. */
export const ON_ITS_WAY = `state = 'available' AND claimed_by IS NOT NULL`;

/** The fence: the condition that a delivery is still ours, besides its id. See `Deliveries`. */
export const OURS = `attempt = :attempt AND state = 'running' AND claimed_by = :worker`;

/** New deliveries come before repeated ones, however many those are. */
export const BEHIND = 'priority = priority + 1';

/** The attempt does not count. */
export const UNCHARGED = 'attempt = attempt - 1';

/** A row of {@link deliveryColumns}, as the database returns it. */
export interface DeliveryRow {
  readonly id: string;
  readonly event_id: string;
  readonly handler: string;
  readonly state: DeliveryState;
  readonly attempt: number;
  readonly priority: number;
  readonly due_at: number;
  readonly claimed_by: string | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly duration_ms: number | null;
  readonly last_error: string | null;
  readonly fingerprint: string | null;
}

const READ: readonly (keyof DeliveryRow)[] = [
  'id',
  'event_id',
  'handler',
  'state',
  'attempt',
  'priority',
  'due_at',
  'claimed_by',
  'started_at',
  'finished_at',
  'duration_ms',
  'last_error',
  'fingerprint',
];

/** The columns of a delivery that people read, for a statement that names the table by an alias. */
export const deliveryColumns = (alias: string): string => READ.map((name) => `${alias}.${name}`).join(', ');
