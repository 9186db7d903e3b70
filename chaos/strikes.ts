import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { Fault } from './crew.js';
import { type CompanionFault, type CompanionName, COMPANIONS, type Fate } from './faults.js';
import type { Companion } from './servers/companion.js';
import type { Server } from './servers/server.js';

/** The servers of a round. */
interface Servers {
  readonly server: Server;
  readonly db: DataSource;
  readonly companion: Companion | undefined;
  readonly log: (line: string) => void;
}

/** Strikes the servers of a round by the fates of its processes, and remembers what it did. */
export class Strikes {
  restarts = 0;
  cuts = 0;
  /** How often each thing happened to the companion. */
  readonly companionCounts: Map<CompanionFault, number>;
  /** When the companion was away. No process is struck by that: it explains no call of a handler that was repeated. */
  readonly companionFaults: Fault[] = [];
  private crashing: Promise<void> | undefined;

  /** @param faults where it adds what hits processes */
  constructor(
    private readonly servers: Servers,
    name: CompanionName | undefined,
    private readonly faults: Fault[],
  ) {
    this.companionCounts = new Map((name ? COMPANIONS[name].faults : []).map((fault) => [fault, 0]));
  }

  /** Strikes what the fate of a process says, a while after that is at work. */
  async strike(actor: string, { restart, cut, companion, after }: Fate, life: number): Promise<void> {
    if (!restart && !cut && !companion) return;
    await delay(after / 2);
    await Promise.all([
      (restart || cut) && this.strikeDatabase(actor, restart, life),
      companion && this.strikeCompanion(companion),
    ]);
  }

  private async strikeDatabase(actor: string, restart: boolean, life: number): Promise<void> {
    if (restart) this.crashing ??= this.crash().finally(() => (this.crashing = undefined));
    if (restart || this.crashing) return this.crashing;
    const { server, db, log } = this.servers;
    const isCut = await server.cut!(db, actor).catch((error: Error) => {
      log(`no connection was cut: ${error.message}`);
      return false;
    });
    if (isCut) this.cuts++;
    this.faults.push({ life, from: Date.now() - 1_000, to: Date.now() + 1_000 });
  }

  private async strikeCompanion(fault: CompanionFault): Promise<void> {
    const from = Date.now();
    await this.servers.companion!.strike(fault);
    this.companionFaults.push({ from: from - 500, to: Date.now() + 2_000 });
    this.companionCounts.set(fault, this.companionCounts.get(fault)! + 1);
  }

  private async crash(): Promise<void> {
    const from = Date.now();
    await this.servers.server.crash!();
    this.restarts++;
    this.faults.push({ from: from - 500, to: Date.now() + 2_000 });
  }
}
