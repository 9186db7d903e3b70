import { Injectable } from '@nestjs/common';
import { type EventOf, GroupHandler } from 'nestjs-spark';
import { PostOffice } from '../mail/post-office.js';
import { supporterJoined, supporterYear } from './supporter.definitions.js';

/** Thanks each supporter at the beginning, and each year. */
@Injectable()
export class SupporterLetters {
  constructor(private readonly postOffice: PostOffice) {}

  @GroupHandler([supporterJoined, supporterYear], { name: 'supporter-letters' })
  async send({
    key,
    group,
    context: { supporter },
  }: EventOf<typeof supporterJoined | typeof supporterYear>): Promise<void> {
    const subject = group === supporterJoined.group ? 'Welcome!' : 'Another year together';
    const text = `Hello ${supporter.name},\n\nthank you for your support.\n\nYour challenges\n`;
    await this.postOffice.send({ key, to: supporter.mail, subject, text });
  }
}
