import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Column, Entity, ManyToOne, OneToMany, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { databases } from './support/databases.js';

@Entity()
class Challenge {
  @PrimaryGeneratedColumn() id: number;
  @OneToMany(() => Donation, (donation) => donation.challenge) donations: Relation<Donation>[];
}

@Entity()
class Donation {
  @PrimaryGeneratedColumn() id: number;
  @Column() amount: number;
  @ManyToOne(() => Challenge, (challenge) => challenge.donations) challenge: Relation<Challenge>;
}

@Injectable()
class Support {
  @EventSource(Challenge, { relations: { donations: true } })
  *events({ id, donations }: Challenge) {
    if (donations.length >= 2) yield sparkEvent('two_donations', id);
  }
}

const ROUNDS = 200;

describe.each(databases)('two donations at the same time are both seen, on $name', (database) => {
  it(`loses none of ${ROUNDS} rounds, without a sweep`, async () => {
    const db = await database.create();
    const { dataSource, spark, close } = await startApp({
      database: db,
      entities: [Challenge, Donation],
      providers: [Support],
    });
    const { manager } = dataSource;
    for (let round = 0; round < ROUNDS; round++) {
      const challenge = await manager.save(manager.create(Challenge));
      // What saving the challenge itself leads to must not be what finds them.
      await spark.drain();
      const donate = (amount: number) => manager.transaction((m) => m.save(Donation, { amount, challenge }));
      await Promise.all([donate(1), donate(2)]);
    }
    await spark.drain();
    const [{ n }] = await manager.query(`SELECT COUNT(*) AS n FROM spark_event WHERE event_group = 'two_donations'`);
    expect(Number(n)).toBe(ROUNDS);
    await close();
    await db.drop();
    // Two hundred rounds, each with a drain.
  }, 120_000);
});
