import { Injectable } from '@nestjs/common';
import { type EventOf, GroupHandler } from 'nestjs-spark';
import { PostOffice } from '../mail/post-office.js';
import { donationMail } from './challenge.mail-texts.js';
import { donationGiven } from './donation.events.js';

/** Writes one mail of all donations of an hour to each owner, and none at night. */
@Injectable()
export class DonationDigest {
  constructor(private readonly postOffice: PostOffice) {}

  @GroupHandler(donationGiven, {
    name: 'donation-digest',
    batch: {
      by: ({ context }) => context.donation.challenge.ownerMail,
      wait: '1h',
      quiet: { from: '22:00', to: '07:00' },
    },
  })
  async send(events: EventOf<typeof donationGiven>[]): Promise<void> {
    const donations = events.map(({ context }) => context.donation);
    const [{ key }] = events as [EventOf<typeof donationGiven>];
    const [{ challenge }] = donations as [(typeof donations)[number]];
    await this.postOffice.send({ key, to: challenge.ownerMail, ...donationMail(donations) });
  }
}
