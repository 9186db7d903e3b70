import { Injectable } from '@nestjs/common';
import { defineEvent, EventSource } from 'nestjs-spark';
import { Donation } from './donation.entity.js';

export const donationGiven = defineEvent<{ donation: Donation }>()('donation_given');

/** Each donation is an event. Its challenge comes with it, as its owner gets the mail. */
@Injectable()
export class DonationEvents {
  @EventSource(Donation, { relations: { challenge: true } })
  *events(donation: Donation) {
    yield donationGiven(donation.id, { donation });
  }
}
