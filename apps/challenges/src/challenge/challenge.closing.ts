import { Injectable, Logger } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { GroupHandler } from 'nestjs-spark';
import type { SparkEvent } from 'nestjs-spark';
import { Repository } from 'typeorm';
import { Challenge } from './challenge.entity.js';

/** Closes a challenge that has ended. */
@Injectable()
export class ChallengeClosing {
  private readonly logger = new Logger('Challenges');

  constructor(@InjectRepository(Challenge) private readonly challenges: Repository<Challenge>) {}

  @GroupHandler(/^challenge_ended$/, { name: 'close-challenge' })
  async close({ context: { challenge } }: SparkEvent<{ challenge: Challenge }>): Promise<void> {
    await this.challenges.update(challenge.id, { isActive: false });
    this.logger.log(`Challenge ${challenge.id}, "${challenge.title}", is closed.`);
  }
}
