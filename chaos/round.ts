import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { createTables } from './tables.js';
import { check, repeatedCalls } from './checks.js';
import { Crew } from './crew.js';
import {
  type ActorInput,
  CARRIER_POINTS,
  type CarrierRole,
  ENDS,
  type Fate,
  POINTS,
  type Point,
  REDIS_FAULTS,
  type RedisFault,
  type Version,
} from './faults.js';
import type { RoundOptions, RoundReport } from './report.js';
import { schedule } from './schedule.js';
import { Networks } from './servers/networks.js';
import { startRedis, type TestRedis } from './servers/redis.js';
import type { Server } from './servers/server.js';
import { startServer } from './servers/servers.js';

// Nothing changes for so long: what is left will stay.
const STANDSTILL = 60_000;
const MOST_TRIES = 10;
// How many processes are killed before the other version takes a version's place.
const DEPLOYED = 3;

/** Several processes write, sweep and handle on one database, are struck by their fates, and what is left is checked. */
export async function runRound(options: RoundOptions, log: (line: string) => void): Promise<RoundReport> {
  const names = Array.from({ length: options.actors + 1 }, (_, slot) => `actor${slot}`);
  const server = await startServer(options.db, names);
  const folder = mkdtempSync(join(tmpdir(), 'spark-chaos-journal-'));
  const networks = await Networks.before(server, names);
  const redis = options.carrier && (await startRedis());
  const round = new Round(options, server, networks, redis, folder, names, log);
  try {
    return await round.run();
  } finally {
    await round.end();
    await networks.stop();
    await redis?.stop();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Round {
  private readonly crew: Crew;
  private readonly db: DataSource;
  private restarts = 0;
  private cuts = 0;
  private lives = 0;
  private redeploys = 0;
  private readonly starts = { former: 0, next: 0 };
  private readonly roles = new Map<string, number>();
  private readonly redisFaults = new Map<RedisFault, number>();
  private fatesAreMet = false;
  private crashing: Promise<void> | undefined;
  private resolveNextIsThere!: () => void;
  private readonly nextIsThere = new Promise<void>((resolve) => (this.resolveNextIsThere = resolve));

  constructor(
    private readonly options: RoundOptions,
    private readonly server: Server,
    private readonly networks: Networks,
    private readonly redis: TestRedis | undefined,
    private readonly folder: string,
    private readonly names: readonly string[],
    private readonly log: (line: string) => void,
  ) {
    this.crew = new Crew(folder);
    this.db = new DataSource(server.options as never);
  }

  async run(): Promise<RoundReport> {
    const started = Date.now();
    await createTables(this.server.options);
    await this.db.initialize();
    const { kills, seed } = this.options;
    const fates = schedule(seed, kills, this.server.crash !== undefined, this.redis !== undefined);
    if (this.redis) for (const fault of REDIS_FAULTS) this.redisFaults.set(fault, 0);
    const reading = setInterval(() => this.crew.readJournal(), 50);
    const standby = this.standBy();
    try {
      // What the next version handles is known before the first event is entered.
      await Promise.race([this.nextIsThere, standby]);
      await Promise.all(this.names.slice(1).map((name) => this.slot(name, fates)));
    } finally {
      clearInterval(reading);
      this.fatesAreMet = true;
    }
    await standby;
    const { settled, foundLate } = await this.finish();
    const findings = await check(this.db, this.crew.faults, this.crew);
    return { ...(await this.figures()), settled, foundLate, findings, seconds: (Date.now() - started) / 1_000 };
  }

  async end(): Promise<void> {
    this.crew.end();
    if (this.db.isInitialized) await this.db.destroy();
  }

  /**
   * A process that nobody strikes, so that there is always somebody to take over, of one version after the other. Poison may
   * kill it.
   */
  private async standBy(): Promise<void> {
    for (let version: Version = 'next'; !this.fatesAreMet;) {
      await this.withActor(this.input(this.names[0]!, version, false), async (actor) => {
        this.resolveNextIsThere();
        const until = this.crew.kills + DEPLOYED;
        while (!this.fatesAreMet && isAlive(actor) && this.crew.kills < until) await delay(50);
        if (this.fatesAreMet) return;
        // Also in the place of one that died.
        version = version === 'next' ? 'former' : 'next';
        this.redeploys++;
      });
    }
  }

  /** One process after the other, until there are no fates left. */
  private async slot(name: string, fates: Iterator<Fate>): Promise<void> {
    for (let next = fates.next(); !next.done; next = fates.next()) {
      const fate = next.value;
      // Poison, or a crash of the database, may have been there before: then another process meets it.
      for (let tries = 1, met = await this.live(name, fate); !met && tries < MOST_TRIES; tries++) {
        met = await this.live(name, { ...fate, cut: false, poison: false, restart: false, redis: undefined });
      }
    }
  }

  private async live(name: string, fate: Fate): Promise<boolean> {
    const input = this.input(name, fate.version, false, fate.roles);
    const whenReady = async () => {
      await Promise.all([
        (fate.restart || fate.cut) && this.strikeDatabase(name, fate, input.life),
        fate.redis && this.strikeRedis(fate.redis, fate.after),
      ]);
    };
    const met = await this.crew.live({ ...input, fate }, { proxy: this.networks.proxyOf(name), whenReady });
    if (!met) this.log(`process ${input.life} ended before it came by ${fate.point ?? 'anything'}`);
    if (this.crew.kills % 25 === 0) this.log(`${this.crew.kills} kills of ${this.options.kills} or a few more`);
    return met;
  }

  private input(name: string, version: Version, finishes: boolean, roles: readonly CarrierRole[] = BOTH): ActorInput {
    const { db, seed, broken } = this.options;
    const life = ++this.lives;
    this.starts[version]++;
    if (this.redis) this.roles.set(roles.join(' and '), (this.roles.get(roles.join(' and ')) ?? 0) + 1);
    return {
      ...(this.redis && { carrier: { redis: this.redis.url, roles } }),
      life,
      version,
      seed: seed * 10_000 + life,
      folder: this.folder,
      database: this.networks.optionsFor(name),
      isSqlite: db === 'sqlite',
      ...(broken ? { broken } : {}),
      finishes,
    };
  }

  private async strikeDatabase(name: string, { restart, after }: Fate, life: number): Promise<void> {
    await delay(after / 2);
    if (restart) this.crashing ??= this.crash().finally(() => (this.crashing = undefined));
    if (restart || this.crashing) return this.crashing;
    const isCut = await this.server.cut!(this.db, name).catch((error: Error) => {
      this.log(`no connection was cut: ${error.message}`);
      return false;
    });
    if (isCut) this.cuts++;
    this.crew.faults.push({ life, from: Date.now() - 1_000, to: Date.now() + 1_000 });
  }

  /** No process is struck by it: it explains no call that was repeated. */
  private async strikeRedis(fault: RedisFault, after: number): Promise<void> {
    await delay(after / 2);
    await this.redis![fault]();
    this.redisFaults.set(fault, this.redisFaults.get(fault)! + 1);
  }

  private async crash(): Promise<void> {
    const from = Date.now();
    await this.server.crash!();
    this.restarts++;
    this.crew.faults.push({ from: from - 500, to: Date.now() + 2_000 });
  }

  /** Nobody is struck any more: what is under way comes to rest, and a last sweep finds what was missed. */
  private async finish(): Promise<{ settled: boolean; foundLate: number }> {
    if (!(await this.settle())) return { settled: false, foundLate: 0 };
    const before = await this.count(`SELECT COUNT(*) AS n FROM spark_event WHERE event_group <> 'outside'`);
    await this.withActor(this.input(this.names[0]!, 'next', true), async (actor) => {
      const swept = new Promise((resolve) => actor.on('message', (message: any) => message.swept && resolve(message)));
      actor.send('sweep');
      await swept;
    });
    const foundLate =
      (await this.count(`SELECT COUNT(*) AS n FROM spark_event WHERE event_group NOT IN ('outside')`)) - before;
    return { settled: await this.settle(), foundLate };
  }

  /** Lets fresh processes handle what is left, until nothing is. Poison kills some of them. */
  private async settle(): Promise<boolean> {
    let left = Infinity;
    for (let still = Date.now(); Date.now() - still < STANDSTILL;) {
      await this.withActor(this.input(this.names[0]!, 'next', true), async (actor) => {
        while (left > 0 && isAlive(actor) && Date.now() - still < STANDSTILL) {
          const now = await this.left();
          if (now !== left) still = Date.now();
          left = now;
          await delay(200);
        }
      });
      if (left === 0) return true;
    }
    return false;
  }

  private async withActor(input: ActorInput, work: (actor: ChildProcess) => Promise<void>): Promise<void> {
    const actor = this.crew.start(input);
    const exited = new Promise((resolve) => actor.once('exit', resolve));
    await Promise.race([exited, new Promise((resolve) => actor.once('message', resolve))]);
    await work(actor);
    if (actor.connected) actor.send('stop');
    await Promise.race([exited, delay(10_000)]);
    actor.kill('SIGKILL');
    await exited;
    this.crew.readJournal();
  }

  private async left(): Promise<number> {
    const deliveries = `SELECT COUNT(*) AS n FROM spark_delivery WHERE state NOT IN ('completed', 'discarded')`;
    return (await this.count(deliveries)) + (await this.count('SELECT COUNT(*) AS n FROM spark_recheck'));
  }

  private async figures() {
    const { crew, restarts, cuts, options, starts, redeploys } = this;
    const points = [...POINTS, ...(this.redis ? CARRIER_POINTS : [])];
    const hits = new Map<Point, number>(points.map((point) => [point, 0]));
    for (const { kind, point } of crew.entries) if (kind === 'kill' && point) hits.set(point, hits.get(point)! + 1);
    const silences = new Map(ENDS.map((ends) => [ends, crew.silences.filter((one) => one.ends === ends).length]));
    return {
      options,
      errors: crew.errors(),
      starts,
      redeploys,
      redisFaults: this.redisFaults,
      roles: this.roles,
      silences,
      neverBack: crew.neverBack,
      rated: crew.count('rated'),
      shared: crew.count('shared'),
      badges: await this.count(`SELECT COUNT(*) AS n FROM spark_event WHERE event_group = 'badge'`),
      restarts,
      cuts,
      hits,
      kills: crew.kills,
      killsInFlight: crew.killsInFlight,
      stalls: crew.stalls,
      rescued: crew.count('rescued'),
      fenced: crew.count('fenced'),
      repeated: await repeatedCalls(this.db),
      events: await this.count('SELECT COUNT(*) AS n FROM spark_event'),
      deliveries: await this.count('SELECT COUNT(*) AS n FROM spark_delivery'),
    };
  }

  private async count(sql: string): Promise<number> {
    return Number((await this.db.query(sql))[0].n);
  }
}

const BOTH: readonly CarrierRole[] = ['dispatch', 'work'];

const isAlive = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode === null && signalCode === null;
