import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { subDays } from 'date-fns';
import { SparkService } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { Supporter } from './supporter.entity.js';

const NEW = [
  'Mary Jackson',
  'Katherine Johnson',
  'Dorothy Vaughan',
  // No badge has room for this name.
  'Augusta Ada King, Countess of Lovelace',
  'Radia Perlman',
  'Annie Easley',
];
const FIRST = ['Ada', 'Barbara', 'Donald', 'Frances', 'Grace', 'Tim'];
const LAST = ['Adams', 'Bauer', 'Costa', 'Dahl', 'Evans', 'Ferrari', 'Gruber', 'Horvat', 'Ivanova', 'Jansen'];

/**
 * Adds supporters to a database that has none, so that each page of the dashboard shows something: deliveries that are completed, discarded,
 * waiting for a retry, or held, and a paused handler.
 */
@Injectable()
export class SampleSupporters {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly spark: SparkService,
  ) {}

  /** @param now The present. All joined within a year before it. */
  async add(now: Date): Promise<void> {
    const { manager } = this.dataSource;
    if (await manager.exists(Supporter)) return;
    await this.spark.pauseHandler('supporter-letters');
    await manager.save(
      Supporter,
      NEW.map((name, i) => ({ name, mail: mailOf(name), joined: subDays(now, i) })),
    );
    await this.importOld(now);
    await this.spark.sweep({ entity: Supporter });
  }

  /** Inserts many rows as another program would: live capture sees none of them, and their first sweep holds what it finds. */
  private async importOld(now: Date): Promise<void> {
    const names = FIRST.flatMap((first) => LAST.map((last) => `${first} ${last}`));
    const rows = names.map((name, i) => ({ name, mail: mailOf(name), joined: subDays(now, 364 - 6 * i) }));
    await this.dataSource.createQueryBuilder().insert().into(Supporter).values(rows).callListeners(false).execute();
  }
}

const mailOf = (name: string): string => `${name.toLowerCase().replaceAll(/[^a-z]+/g, '.')}@example.org`;
