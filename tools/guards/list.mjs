/**
 * The guards of the library: what must not be left out, though all seems to work without it. Each is a text of a source that is
 * replaced by another one, and the tests that should fail then: files, and, where only some of their tests are meant, a pattern
 * of the names. Those of the `sample` are taken out in CI.
 */
const SPARK = 'libs/spark/src/';

const ALL = ['SQLite', 'PostgreSQL', 'MariaDB'];
const SERVERS = ['PostgreSQL', 'MariaDB'];

/** @returns a guard, with the paths that its tests have from the root */
const guard = (name, file, from, to, [spec, test], { databases, sample = false } = {}) => ({
  name,
  file: SPARK + file,
  from,
  to,
  tests: { files: [spec.includes('/') ? spec : `test/${spec}.e2e-spec.ts`], name: test },
  databases,
  sample,
});

export const guards = [
  // Deliveries
  guard(
    'fence: a delivery ends only while it is ours',
    'delivery/deliveries.ts',
    "`id = :id AND attempt = :attempt AND state = 'running' AND claimed_by = :worker`",
    '`id = :id AND :attempt = :attempt AND :worker = :worker`',
    ['what-is-taken-over-is-left-alone'],
    { databases: ALL },
  ),
  guard(
    'fence: a completion counts only while the delivery is ours (PostgreSQL)',
    'dialect/postgres.ts',
    "AND d.attempt = $2 AND COALESCE(d.state, '') = 'running' AND d.claimed_by = $3 RETURNING d.id",
    'AND $2::int IS NOT NULL AND $3::text IS NOT NULL RETURNING d.id',
    ['what-is-taken-over-is-left-alone'],
    { databases: ['PostgreSQL'], sample: true },
  ),
  guard(
    'fence: a completion counts only while the delivery is ours (elsewhere)',
    'dialect/claimed.ts',
    "`id IN (:...ids) AND attempt = :attempt AND state = 'running' AND claimed_by = :worker`",
    '`id IN (:...ids) AND :attempt = :attempt AND :worker = :worker`',
    ['what-is-taken-over-is-left-alone'],
    { databases: ['SQLite', 'MariaDB'] },
  ),
  guard(
    'a transactional handler is not called where its delivery is another process’s',
    'pipeline/attempt.ts',
    'if (ours.size !== 1) throw',
    'if (ours.size > 1) throw',
    ['transactional-effects-happen-once', 'taken the delivery over'],
    { databases: ALL },
  ),
  guard(
    'a manager is revoked before its transaction is rolled back',
    'pipeline/attempt.ts',
    '      revoke();\n      throw error;',
    '      throw error;',
    ['transactional-effects-happen-once', 'never pauses'],
    { databases: SERVERS, sample: true },
  ),
  guard(
    'a transaction that the database has undone completes nothing',
    'pipeline/attempt.ts',
    'if (!(await this.deliveries.took(manager, this.delivery, durationMs)))',
    'if (!(await this.deliveries.took(manager, this.delivery, durationMs)) && this.stopped)',
    ['transactional-effects-happen-once', '(swallows|writes|ends)'],
    { databases: ALL },
  ),
  guard(
    'a dead-lock that a handler swallows refuses what follows',
    'delivery/revocable.ts',
    'if (failure.errno === DEADLOCK) refusal',
    'if (failure.errno === -1) refusal',
    ['transactional-effects-happen-once', '(swallows|writes|ends)'],
    { databases: ['MariaDB'] },
  ),
  guard(
    'a process that lost its lease tells its handlers to stop',
    'delivery/worker-lease.ts',
    '    this.until = 0;\n    this.onLost();',
    '    this.until = 0;',
    ['a-process-that-lost-its-lease-stops'],
    { databases: ALL },
  ),
  guard(
    'a rescued delivery is a suspect, and not charged',
    'delivery/worker-lease.ts',
    '${freed}, attempt = attempt - 1, suspect = 1 WHERE id IN (:...ids)',
    '${freed}, suspect = 0 WHERE id IN (:...ids)',
    ['deliveries-survive-their-process', 'the one that kills its process'],
    { databases: ALL },
  ),
  guard(
    'what is given back at a shutdown is not charged',
    'delivery/deliveries.ts',
    "`state = 'available', attempt = attempt - 1, claimed_by = NULL`",
    "`state = 'available', claimed_by = NULL`",
    ['a-shutdown-loses-nothing', 'gives back'],
    { databases: ALL, sample: true },
  ),
  guard(
    'suspects are claimed one at a time',
    'delivery/handler-slots.ts',
    'if (suspects && this.suspects === 0)',
    'if (suspects)',
    ['libs/spark/src/delivery/handler-slots.spec.ts'],
    { sample: true },
  ),
  guard(
    'no more handlers run than the process may',
    'delivery/handler-slots.ts',
    'return Math.min(this.free, own, connections);',
    'return Math.min(own, connections);',
    ['libs/spark/src/delivery/handler-slots.spec.ts'],
    { sample: true },
  ),
  guard(
    'a claim whose answer was lost is given back',
    'pipeline/worker.ts',
    'if (this.unsure) await this.giveBackOthers(request.worker);',
    'if (this.unsure) this.unsure = false;',
    ['deliveries-survive-their-database', 'that answered nothing when one was claimed'],
    { databases: SERVERS },
  ),

  guard(
    'a lease counts from before its renewal was sent',
    'delivery/worker-lease.ts',
    'this.until = started + (this.times.ttl * 5) / 6;',
    'this.until = Math.max(started, performance.now()) + (this.times.ttl * 5) / 6;',
    ['a-process-that-lost-its-lease-stops', 'counts from when it was sent'],
    { databases: SERVERS },
  ),

  // The ledger
  guard(
    'what collides is run again: a serialization failure (PostgreSQL)',
    'dialect/postgres.ts',
    "['40001', '40P01']",
    "['40P01']",
    ['what-collides-is-run-again'],
    { databases: ['PostgreSQL'], sample: true },
  ),
  guard(
    'what collides is run again: a dead-lock (PostgreSQL)',
    'dialect/postgres.ts',
    "['40001', '40P01']",
    "['40001']",
    ['what-collides-is-run-again'],
    { databases: ['PostgreSQL'] },
  ),
  guard(
    'what collides is run again: a lock that was waited for too long (MariaDB)',
    'dialect/mysql.ts',
    '[1213, 1205]',
    '[1213]',
    ['what-collides-is-run-again'],
    { databases: ['MariaDB'], sample: true },
  ),
  guard(
    'what collides is run again: a dead-lock (MariaDB)',
    'dialect/mysql.ts',
    '[1213, 1205]',
    '[1205]',
    ['what-collides-is-run-again'],
    { databases: ['MariaDB'] },
  ),
  guard(
    'keys are entered in one order',
    'ledger/ledger.ts',
    'return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));',
    'return [...byKey.values()];',
    ['emitted-events-share-their-transaction', 'do not dead-lock'],
    { databases: SERVERS },
  ),
  guard(
    'a key that is another’s is told',
    'ledger/ledger.ts',
    '    if (!owner) return;',
    '    if (owner !== undefined || owner === undefined) return;',
    ['what-goes-wrong-is-told', 'two entities with one key'],
    { databases: ALL, sample: true },
  ),
  guard(
    'deliveries are opened for handlers that registered meanwhile',
    'ledger/ledger.ts',
    'if (fresh.size > 0 && revision !== matched) {',
    'if (fresh.size > 0 && revision < 0) {',
    ['handlers-of-other-processes', 'registers meanwhile gets the very next event'],
    { databases: ALL },
  ),
  guard(
    'a chain of events ends',
    'pipeline/derivation.ts',
    'if (origin.depth > DEEPEST)',
    'if (origin.depth > 1_000)',
    ['a-chain-of-events-ends'],
    { databases: ALL },
  ),
  guard(
    'a source is cut off that never ends',
    'source/source.ts',
    `function listed(source: Source, given: Iterable<SparkEvent>, limit: number): SparkEvent[] {
  const events: SparkEvent[] = [];
  for (const event of given) {
    if (events.push(event) > limit) throw new SourceLimitError(source.name, limit);`,
    `function listed(source: Source, given: Iterable<SparkEvent>, limit: number): SparkEvent[] {
  const events: SparkEvent[] = [];
  for (const event of given) {
    if (events.push(event) > limit) return events;`,
    ['bad-input-loses-nothing', 'a source that never ends'],
    { databases: ALL },
  ),

  // Sweeps
  guard(
    'a sweep that was lost enters nothing',
    'trigger/sweep-lease.ts',
    'if ((await this.update(manager, leased, changes, values)) !== 1) throw new LostSweep();',
    'await this.update(manager, leased, changes, values);',
    ['a-sweep-goes-on-where-it-was-killed', 'one that only stalled'],
    { databases: ALL },
  ),
  guard(
    'a sweep keeps its source during a long page',
    'trigger/sweep-lease.ts',
    'const timer = setInterval(() => void extend().catch(() => undefined), this.ttl / 3);',
    'const timer = setInterval(() => extend, this.ttl / 3);',
    ['a-sweep-goes-on-where-it-was-killed', 'a page may take longer than the lease'],
    { databases: ALL },
  ),
  guard(
    'each slot of a schedule is swept once',
    'trigger/sweep-lease.ts',
    "if (Number(row.is_past) === 1) return 'swept';",
    "if (Number(row.is_past) === 2) return 'swept';",
    ['a-sweep-goes-on-where-it-was-killed', 'each slot of a schedule'],
    { databases: ALL },
  ),
  guard(
    'a slot far ahead keeps nobody from sweeping',
    'trigger/sweep-lease.ts',
    'slot >= :slot AND slot < ${clock} + ${FARTHEST_SLOT}',
    'slot >= :slot',
    ['a-sweep-goes-on-where-it-was-killed', 'a wrong clock has taken far ahead'],
    { databases: ALL },
  ),
  guard(
    'what a first sweep finds is held',
    'trigger/source-sweeper.ts',
    "return groups.get(group) ? 'available' : 'held';",
    "return 'available';",
    ['nobody-is-flooded-by-history', 'one that finds much is held'],
    { databases: ALL },
  ),

  // SQLite
  guard(
    'a transaction begins before it reads (SQLite)',
    'dialect/sqlite-query-runner.ts',
    "if (this.turn && query === 'BEGIN TRANSACTION') return this.beginImmediate();",
    '',
    ['sqlite-is-safe', 'several processes read and then write'],
  ),
  guard(
    'a plain BEGIN is rolled back (SQLite)',
    'dialect/sqlite-query-runner.ts',
    "      driver.databaseConnection.exec('ROLLBACK');\n      throw new SqlitePlainBeginError(query);",
    '',
    ['sqlite-is-safe', 'is not for BEGIN as a plain query'],
    { sample: true },
  ),
  guard(
    'nothing follows what SQLite itself undid',
    'dialect/sqlite-query-runner.ts',
    'private async inside<T>(run: () => Promise<T>): Promise<T> {\n      if (this.undone) throw this.undone;',
    'private async inside<T>(run: () => Promise<T>): Promise<T> {',
    ['sqlite-is-safe', 'is nothing that follows when SQLite itself undid it'],
    { sample: true },
  ),
  guard(
    'one transaction after the other has the connection (SQLite)',
    'dialect/async-lock.ts',
    '    if (!this.held) {\n      this.held = true;',
    '    if (this.waiting.length === 0) {\n      this.held = true;',
    ['sqlite-is-safe', 'do not see each other'],
    { sample: true },
  ),

  guard(
    'no statement goes round what SQLite itself undid',
    'dialect/sqlite-query-runner.ts',
    '      turns.refuseCutOff();\n      if (this.undone) throw this.undone;\n      try {',
    '      turns.refuseCutOff();\n      try {',
    ['sqlite-is-safe', 'sent to the connection itself'],
    { sample: true },
  ),

  // What is told
  guard(
    'what another copy of the package decorates is found',
    'handler/group-handler.decorator.ts',
    "Symbol.for('nestjs-spark.group-handler')",
    "Symbol('nestjs-spark.group-handler')",
    ['two-copies-of-the-package-work-together'],
    { sample: true },
  ),
  guard(
    'a snapshot that another copy of the package made is one',
    'event/snapshot.ts',
    "sharedByCopies('snapshots', () => new WeakSet<object>())",
    'new WeakSet<object>()',
    ['two-copies-of-the-package-work-together'],
  ),
  guard(
    'an error that another copy of the package made is known',
    'error/spark.error.ts',
    'return brand !== undefined && brand in value;',
    'return brand === undefined && value === undefined;',
    ['two-copies-of-the-package-work-together'],
  ),
  guard(
    'instanceof never throws, whatever a handler threw',
    'error/spark.error.ts',
    '    } catch {\n      return false;\n    }',
    '    } catch (error) {\n      throw error;\n    }',
    ['what-goes-wrong-is-told', 'a Proxy that throws'],
    { databases: ['SQLite'] },
  ),
  guard(
    'what PostgreSQL refuses is not asked of it',
    'inspect/explain.ts',
    "!found.has(key) && key.isWellFormed() && !key.includes('\\0')",
    '!found.has(key)',
    ['bad-input-loses-nothing', '(a group with NUL|a key with NUL): the other'],
    { databases: ['PostgreSQL'] },
  ),
  guard(
    'what is thrown is bounded',
    'error/text-of.ts',
    'const short = cut(text, Math.max(1, Math.floor(left / (texts.length - i))));',
    'const short = text;',
    ['libs/spark/src/error/text-of.spec.ts'],
    { sample: true },
  ),
  guard(
    'what is thrown cannot forge a line of the log',
    'error/text-of.ts',
    'const UNPRINTABLE = /[\\p{Cc}\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]/gu;',
    'const UNPRINTABLE = /\\0/gu;',
    ['libs/spark/src/error/text-of.spec.ts'],
    { sample: true },
  ),
  guard(
    'what is counted is told once a minute',
    'inspect/counters.ts',
    '    if (now - line.told < MINUTE) {\n      line.untold++;',
    '    if (now - line.told < 0) {\n      line.untold++;',
    ['libs/spark/src/inspect/counters.spec.ts'],
    { sample: true },
  ),
];
