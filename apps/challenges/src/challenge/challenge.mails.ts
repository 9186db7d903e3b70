import { Injectable } from '@nestjs/common';
import { GroupHandler } from 'nestjs-spark';
import type { SparkEvent } from 'nestjs-spark';
import { PostOffice } from '../mail/post-office.js';
import type { Challenge } from './challenge.entity.js';
import { challengeMail } from './challenge.mail-texts.js';

/** Writes to the owner of a challenge, of each of its events. */
@Injectable()
export class ChallengeMails {
  constructor(private readonly postOffice: PostOffice) {}

  @GroupHandler(/^challenge/, { name: 'challenge-mails' })
  async send({ key, group, context: { challenge } }: SparkEvent<{ challenge: Challenge }>): Promise<void> {
    await this.postOffice.send({ key, to: challenge.ownerMail, ...challengeMail(group, challenge) });
  }
}
