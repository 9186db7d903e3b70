import { Injectable } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type EntityManager } from 'typeorm';
import { execute } from '../../libs/spark/src/database/statement.js';
import { Dice } from '../schedule.js';
import { RELAY, type Version } from '../faults.js';
import { Badge, FAMILY, Item } from './entities.js';
import { Journal } from './journal.js';

const onPurpose = new Error('on purpose');
const MOST_WAITING = 400;

/** Writes entities in nested transactions, some of which are rolled back. */
@Injectable()
export class Writer {
  private versions = 0;
  private stopped = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly journal: Journal,
    private readonly dice: Dice,
    private readonly life: number,
    private readonly version: Version,
  ) {}

  stop(): void {
    this.stopped = true;
  }

  /** Writes until it is stopped. What fails, because the database is away or two collide, is left. */
  async run(): Promise<void> {
    for (let round = 0; !this.stopped; round++) {
      await this.writeOnce().catch(() => delay(100));
      await delay(this.dice.between(5, 40));
      if (round % 10 === 0) await this.letThemCatchUp();
    }
  }

  // Processes that start and die all the time handle less than they could write.
  private async letThemCatchUp(): Promise<void> {
    while (!this.stopped && (await this.isBehind())) await delay(200);
  }

  private async writeOnce(): Promise<void> {
    const { dice, journal } = this;
    const kind = dice.between(1, 10);
    if (kind === 1) return this.outside();
    if (kind === 2) return void (await this.dataSource.manager.update(Item, { id: await this.someId() }, { flag: 1 }));
    await journal.during(() =>
      this.dataSource
        .transaction((manager) => this.write(manager, new Set(), 0))
        .catch((error: unknown) => {
          if (error !== onPurpose) throw error;
        }),
    );
  }

  private async write(manager: EntityManager, written: Set<number>, depth: number): Promise<void> {
    const { dice } = this;
    for (let i = dice.between(1, 3); i > 0; i--) {
      const kind = dice.between(1, 10);
      if (kind <= 3) await this.save(manager, {}, written);
      else if (kind <= 6) await this.save(manager, { id: await this.someId() }, written);
      else if (kind <= 8) await this.grow(manager);
      else if (kind === 9 && this.version === 'next') await manager.save(Badge, { giver: this.life });
      else if (depth < 3) {
        const inner = new Set(written);
        await manager
          .transaction((nested) => this.write(nested, inner, depth + 1))
          .then(() => inner.forEach((id) => written.add(id)))
          .catch((error: unknown) => {
            if (error !== onPurpose) throw error;
          });
      }
    }
    if (dice.chance(0.1)) throw onPurpose;
  }

  /** One state of an item a transaction: what it commits is what is expected to be seen. */
  private async save(manager: EntityManager, { id }: { id?: number }, written: Set<number>): Promise<void> {
    if (id !== undefined && (written.has(id) || !(await manager.existsBy(Item, { id })))) return;
    const version = this.life * 1_000_000 + ++this.versions;
    const dueAt = Date.now() + this.dice.between(-500, 3_000);
    const values = { version: String(version), dueAt: String(dueAt), ...(id === undefined ? { flag: 0 } : { id }) };
    const saved = await manager.save(Item, values as Item);
    written.add(saved.id);
    await execute(manager, 'INSERT INTO trail (item_id, version) VALUES (:id, :version)', { id: saved.id, version });
  }

  private async grow(manager: EntityManager): Promise<void> {
    const of = FAMILY[this.version];
    const [last] = await manager.find(of.family, { order: { id: 'DESC' }, take: 1 });
    const isNew = !last || this.dice.chance(0.3);
    const family = isNew ? await manager.save(of.family, { founder: this.life }) : last;
    await manager.save(of.child, { familyId: family.id });
  }

  private async outside(): Promise<void> {
    const id = this.life * 1_000_000 + ++this.versions;
    await execute(this.dataSource.manager, 'INSERT INTO outside (id) VALUES (:id)', { id });
  }

  private async someId(): Promise<number> {
    const [last] = await this.dataSource.manager.find(Item, { order: { id: 'DESC' }, take: 1 });
    return Math.max(1, (last?.id ?? 1) - this.dice.between(0, 40));
  }

  private async isBehind(): Promise<boolean> {
    // What waits for the broker would keep all processes from their points.
    const waiting = `SELECT COUNT(*) AS n FROM spark_delivery WHERE state = 'available' AND handler <> '${RELAY.name}'`;
    const [row] = await this.dataSource.query(waiting).catch(() => [{ n: MOST_WAITING }]);
    return Number(row.n) >= MOST_WAITING;
  }
}
