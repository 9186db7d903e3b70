import { Injectable, Logger } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { GroupHandler } from 'nestjs-spark';
import type { EventOf } from 'nestjs-spark';
import { Repository } from 'typeorm';
import { challengeEnded } from './challenge.definitions.js';
import { Challenge } from './challenge.entity.js';

/** Closes a challenge that has ended. */
@Injectable()
export class ChallengeClosing {
  private readonly logger = new Logger('Challenges');

  constructor(@InjectRepository(Challenge) private readonly challenges: Repository<Challenge>) {}

  @GroupHandler(challengeEnded, { name: 'close-challenge' })
  async close({ context: { challenge } }: EventOf<typeof challengeEnded>): Promise<void> {
    await this.challenges.update(challenge.id, { isActive: false });
    this.logger.log(`Challenge ${challenge.id}, "${challenge.title}", is closed.`);
  }
}
