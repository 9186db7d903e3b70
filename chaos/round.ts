import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { createTables } from './tables.js';
import { check } from './checks.js';
import { Crew, isAlive } from './crew.js';
import { type ActorInput, BOTH_ROLES, type CarrierRole, type Fate, type Version } from './faults.js';
import { figuresOf } from './figures.js';
import { finish } from './finish.js';
import type { RoundOptions, RoundReport } from './report.js';
import { schedule } from './schedule.js';
import type { Companion } from './servers/companion.js';
import { launchCompanion } from './servers/companions.js';
import { Networks } from './servers/networks.js';
import type { Server } from './servers/server.js';
import { startServer } from './servers/servers.js';
import { Strikes } from './strikes.js';

const MOST_TRIES = 10;
// How many processes are killed before the other version takes a version's place.
const DEPLOYED = 3;

/** Several processes write, sweep and handle on one database, are struck by their fates, and what is left is checked. */
export async function runRound(options: RoundOptions, log: (line: string) => void): Promise<RoundReport> {
  const names = Array.from({ length: options.actors + 1 }, (_, slot) => `actor${slot}`);
  const server = await startServer(options.db, names);
  const folder = mkdtempSync(join(tmpdir(), 'spark-chaos-journal-'));
  const networks = await Networks.before(server, names);
  const companion = options.companion && (await launchCompanion(options.companion));
  const round = new Round(options, server, networks, companion, folder, names, log);
  try {
    return await round.run();
  } finally {
    await round.end();
    await networks.stop();
    await companion?.stop();
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Round {
  private readonly crew: Crew;
  private readonly db: DataSource;
  private readonly strikes: Strikes;
  private lives = 0;
  private redeploys = 0;
  private readonly starts = { former: 0, next: 0 };
  private readonly roles = new Map<string, number>();
  private fatesAreMet = false;
  private resolveNextIsThere!: () => void;
  private readonly nextIsThere = new Promise<void>((resolve) => (this.resolveNextIsThere = resolve));

  constructor(
    private readonly options: RoundOptions,
    private readonly server: Server,
    private readonly networks: Networks,
    private readonly companion: Companion | undefined,
    private readonly folder: string,
    private readonly names: readonly string[],
    private readonly log: (line: string) => void,
  ) {
    this.crew = new Crew(folder);
    this.db = new DataSource(server.options as never);
    const servers = { server, db: this.db, companion, log };
    this.strikes = new Strikes(servers, options.companion, this.crew.faults);
  }

  async run(): Promise<RoundReport> {
    const started = Date.now();
    await createTables(this.server.options);
    await this.db.initialize();
    const { kills, seed, companion } = this.options;
    const fates = schedule(seed, kills, this.server.crash !== undefined, companion);
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
    const finishing = await finish(this.db, (work) => this.withActor(this.input(this.names[0]!, 'next', true), work));
    return { ...finishing, ...(await this.looked()), seconds: (Date.now() - started) / 1_000 };
  }

  /** Looks at what is there when all is over. */
  private async looked() {
    const { options, crew, db, strikes, starts, redeploys, roles } = this;
    const messages = await this.companion?.messages?.();
    const { faults, entries, ends } = crew;
    const findings = await check(db, { faults, entries, ends, companionFaults: strikes.companionFaults, messages });
    const figures = await figuresOf(db, crew, strikes, messages, options.companion);
    return { options, ...figures, findings, starts, redeploys, roles };
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
        met = await this.live(name, { ...fate, cut: false, poison: false, restart: false, companion: undefined });
      }
    }
  }

  private async live(name: string, fate: Fate): Promise<boolean> {
    const input = this.input(name, fate.version, false, fate.roles);
    const whenReady = () => this.strikes.strike(name, fate, input.life);
    const met = await this.crew.live({ ...input, fate }, { proxy: this.networks.proxyOf(name), whenReady });
    if (!met) this.log(`process ${input.life} ended before it came by ${fate.point ?? 'anything'}`);
    if (this.crew.kills % 25 === 0) this.log(`${this.crew.kills} kills of ${this.options.kills} or a few more`);
    return met;
  }

  private input(
    name: string,
    version: Version,
    finishes: boolean,
    roles: readonly CarrierRole[] = BOTH_ROLES,
  ): ActorInput {
    const { db, seed, broken, companion } = this.options;
    const life = ++this.lives;
    this.starts[version]++;
    if (companion === 'bullmq') this.roles.set(roles.join(' and '), (this.roles.get(roles.join(' and ')) ?? 0) + 1);
    return {
      ...(companion && { companion: { name: companion, url: this.companion!.url } }),
      roles,
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
}
