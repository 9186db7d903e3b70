import { BadRequestException, Injectable, NotFoundException } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, Repository } from 'typeorm';
import type { Page } from '../input/page.js';
import { Challenge } from './challenge.entity.js';
import type { ChangeChallenge, CreateChallenge, Donate } from './challenge.input.js';
import { Donation } from './donation.entity.js';

/** Keeps the challenges. It knows nothing of events: Spark sees what it writes. */
@Injectable()
export class ChallengesService {
  constructor(
    @InjectRepository(Challenge) private readonly challenges: Repository<Challenge>,
    @InjectRepository(Donation) private readonly donations: Repository<Donation>,
  ) {}

  async list({ page, limit }: Page): Promise<Challenge[]> {
    const found = await this.challenges.find({
      select: { id: true },
      order: { id: 'DESC' },
      skip: (page - 1) * limit,
      take: limit,
    });
    // In a second step, since TypeORM counts joined rows when it pages and sorts a relation at once.
    return this.challenges.find({
      where: { id: In(found.map(({ id }) => id)) },
      relations: { donations: true },
      order: { id: 'DESC', donations: { id: 'ASC' } },
    });
  }

  async create(input: CreateChallenge): Promise<Challenge> {
    const challenge = await this.challenges.save(inOrder(this.challenges.create(input)));
    return this.get(challenge.id);
  }

  async change(id: number, input: ChangeChallenge): Promise<Challenge> {
    const challenge = await this.get(id);
    return this.challenges.save(inOrder(this.challenges.merge(challenge, input)));
  }

  async donate(id: number, { amount, donor }: Donate): Promise<Challenge> {
    const challenge = await this.get(id);
    await this.donations.save({ amount, donor, challenge: { id: challenge.id } });
    return this.get(id);
  }

  private async get(id: number): Promise<Challenge> {
    const challenge = await this.challenges.findOne({
      where: { id },
      relations: { donations: true },
      order: { donations: { id: 'ASC' } },
    });
    if (!challenge) throw new NotFoundException(`There is no challenge ${id}.`);
    return challenge;
  }
}

function inOrder(challenge: Challenge): Challenge {
  if (challenge.endDate > challenge.startDate) return challenge;
  throw new BadRequestException(['endDate must be after startDate']);
}
