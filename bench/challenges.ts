import {
  Column,
  type DataSource,
  Entity,
  Index,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';
import { numbers } from './application.js';
import type { DatabaseName } from './database.js';

/** An entity with a to-many relation, and a time. */
@Entity()
export class Challenge {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'bigint' }) end: string;
  @OneToMany(() => Donation, (donation) => donation.challenge) donations: Relation<Donation>[];
}

@Entity()
export class Donation {
  @PrimaryGeneratedColumn() id: number;
  @Column() amount: number;
  @Index() @ManyToOne(() => Challenge, (challenge) => challenge.donations) challenge: Relation<Challenge>;
}

// MariaDB's locks of more at once would fill its memory.
const PART = 50_000;

/** Makes so many challenges with two donations each; of their ends, so many at a time are the same, each a second after the last. */
export async function fillChallenges(db: DatabaseName, dataSource: DataSource, rows: number, start = 0, alike = 1_000) {
  const quote = (name: string) => dataSource.driver.escape(name);
  // Neighbours in time are far apart in the tables.
  const shuffled = `(CAST(n AS ${db === 'mariadb' ? 'SIGNED' : 'bigint'}) * 7919) % ${rows}`;
  const second = db === 'mariadb' ? `(${shuffled}) DIV ${alike}` : `(${shuffled}) / ${alike}`;
  for (let first = 1; first <= rows; first += PART) {
    const from = `FROM (${numbers(db, Math.min(rows, first + PART - 1), first)}) x`;
    await dataSource.query(
      `INSERT INTO challenge (id, ${quote('end')}) SELECT n, ${start} + (${second}) * 1000 ${from}`,
    );
    for (const amount of [5, 10])
      await dataSource.query(`INSERT INTO donation (amount, ${quote('challengeId')}) SELECT ${amount}, n ${from}`);
  }
}

/** What the planner knows of the tables. */
export async function analyze(db: DatabaseName, dataSource: DataSource): Promise<void> {
  if (db !== 'mariadb') await dataSource.query('ANALYZE');
}
