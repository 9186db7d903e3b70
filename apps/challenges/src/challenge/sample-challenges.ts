import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { addDays, subDays } from 'date-fns';
import { DataSource } from 'typeorm';
import { Challenge } from './challenge.entity.js';
import { Donation } from './donation.entity.js';

/** Fills an empty database with challenges of which all groups of events are true at once, but the one that has to last. */
@Injectable()
export class SampleChallenges implements OnApplicationBootstrap {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  onApplicationBootstrap(): Promise<void> {
    return this.add(new Date());
  }

  async add(now: Date): Promise<void> {
    if (await this.dataSource.manager.exists(Challenge)) return;
    await this.dataSource.transaction(async (manager) => {
      for (const { amounts, ...sample } of samplesOf(now)) {
        const challenge = await manager.save(Challenge, sample);
        await manager.save(
          Donation,
          amounts.map((amount) => ({ amount, challenge: { id: challenge.id } })),
        );
      }
    });
  }
}

const samplesOf = (now: Date) => [
  {
    title: 'Run 10 km',
    ownerMail: 'ada@example.org',
    startDate: now,
    endDate: addDays(now, 30),
    goal: 5000,
    amounts: [],
  },
  {
    title: 'A month without sugar',
    ownerMail: 'grace@example.org',
    startDate: subDays(now, 3),
    endDate: addDays(now, 27),
    // Its mail goes out when the demo has run for a day.
    goal: 1000,
    amounts: [1000],
  },
  {
    title: 'Learn to juggle',
    ownerMail: 'alan@example.org',
    startDate: subDays(now, 20),
    endDate: addDays(now, 1),
    amounts: [2500, 1500],
  },
  {
    title: 'Read 12 books',
    ownerMail: 'edsger@example.org',
    startDate: subDays(now, 60),
    endDate: subDays(now, 1),
    amounts: [5000, 2000, 800],
  },
];
