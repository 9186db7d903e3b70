import { type Challenge, raisedBy } from './challenge.entity.js';
import type { Donation } from './donation.entity.js';

/** What a mail says. */
export interface MailText {
  readonly subject: string;
  readonly text: string;
}

const TEXTS: Record<string, (challenge: Challenge) => MailText> = {
  challenge_created: ({ title, startDate, endDate }) => ({
    subject: `${title} is on`,
    text: lines(
      `your challenge "${title}" is on,`,
      `from ${day(startDate)} to ${day(endDate)}.`,
      'Tell your friends, and good luck!',
    ),
  }),
  challenge_inactivity_2d: (challenge) => ({
    subject: `${challenge.title} is waiting for supporters`,
    text: lines(
      `"${challenge.title}" began on ${day(challenge.startDate)}.`,
      `So far: ${raised(challenge)}.`,
      'A word to your friends may help.',
    ),
  }),
  challenge_week: (challenge) => ({
    subject: `Another week of ${challenge.title}`,
    text: lines(
      `"${challenge.title}" goes on until ${day(challenge.endDate)}.`,
      `So far: ${raised(challenge)}.`,
      'Tell your friends how it is going!',
    ),
  }),
  challenge_ends_2d: (challenge) => ({
    subject: `${challenge.title} ends soon`,
    text: lines(
      `"${challenge.title}" ends on ${day(challenge.endDate)}.`,
      `So far: ${raised(challenge)}.`,
      'Now is the time for a last effort!',
    ),
  }),
  challenge_goal_1d: (challenge) => ({
    subject: `${challenge.title} has reached its goal`,
    text: lines(
      `"${challenge.title}" has been at its goal for a day.`,
      `So far: ${raised(challenge)}.`,
      'Will you set a higher one?',
    ),
  }),
  challenge_ended: (challenge) => ({
    subject: `${challenge.title} is over`,
    text: lines(
      `"${challenge.title}" ended on ${day(challenge.endDate)}, and is closed now.`,
      `The result: ${raised(challenge)}.`,
      'Thank you!',
    ),
  }),
};

/**
 * What to write of an event to the owner of its challenge.
 *
 * @throws Error for a group without a text, so that its delivery fails visibly instead of mailing nonsense.
 */
export function challengeMail(group: string, challenge: Challenge): MailText {
  const text = TEXTS[group];
  if (!text) throw new Error(`There is no mail text for the group '${group}'. Add one to challenge.mail-texts.ts.`);
  return text(challenge);
}

/** What to write of donations to the owner of their challenges. */
export function donationMail(donations: readonly Donation[]): MailText {
  const sum = donations.reduce((all, { amount }) => all + amount, 0);
  const count = donations.length === 1 ? 'a donation' : `${donations.length} donations`;
  return {
    subject: `${euros(sum)} for you`,
    text: lines(
      `you have got ${count}:`,
      ...donations.map(
        ({ amount, donor, challenge }) => `${euros(amount)} by ${donor ?? 'somebody'}, for "${challenge.title}"`,
      ),
    ),
  };
}

// Only ASCII of our own, so that the mails in the outbox can be read as they are.
const lines = (...body: string[]): string => ['Hello,', '', ...body, '', 'Your challenges', ''].join('\n');

const DAY = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' });

const day = (date: Date): string => DAY.format(date);

function raised(challenge: Challenge): string {
  const count = challenge.donations.length;
  return `${euros(raisedBy(challenge))} by ${count} ${count === 1 ? 'donation' : 'donations'}`;
}

const euros = (cents: number): string => `${(cents / 100).toFixed(2)} EUR`;
