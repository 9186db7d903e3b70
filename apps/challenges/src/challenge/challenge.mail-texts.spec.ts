import { describe, expect, it } from 'vitest';
import { Challenge } from './challenge.entity.js';
import { challengeMail, donationMail } from './challenge.mail-texts.js';
import { Donation } from './donation.entity.js';

const challengeWith = (...amounts: number[]): Challenge =>
  Object.assign(new Challenge(), {
    title: 'Run 10 km',
    startDate: new Date('2026-05-01T23:30:00Z'),
    endDate: new Date('2026-05-31T00:30:00Z'),
    donations: amounts.map((amount) => Object.assign(new Donation(), { amount })),
  });

describe('mail texts', () => {
  it('say something else for each group', () => {
    const groups = ['created', 'inactivity_2d', 'week', 'goal_1d', 'ends_2d', 'ended'];
    const mails = groups.map((group) => challengeMail(`challenge_${group}`, challengeWith(2500)));

    expect(new Set(mails.map(({ subject }) => subject)).size).toBe(6);
    expect(new Set(mails.map(({ text }) => text)).size).toBe(6);
    for (const { subject } of mails) expect(subject).toContain('Run 10 km');
  });

  it('give days in UTC, whatever the time zone of the process', () => {
    expect(challengeMail('challenge_created', challengeWith()).text).toContain('from 1 May 2026 to 31 May 2026');
  });

  it.each([
    [[], '0.00 EUR by 0 donations.'],
    [[2500], '25.00 EUR by 1 donation.'],
    [[2500, 1], '25.01 EUR by 2 donations.'],
  ])('sum up donations of %j cents', (amounts, words) => {
    expect(challengeMail('challenge_ended', challengeWith(...amounts)).text).toContain(words);
  });

  it('refuse a group that nobody wrote a text for', () => {
    expect(() => challengeMail('challenge_won', challengeWith())).toThrow(/no mail text for the group 'challenge_won'/);
  });

  it('list the donations of a digest, and their sum', () => {
    const challenge = challengeWith();
    const donations = [
      Object.assign(new Donation(), { amount: 2_500, donor: 'Grace', challenge }),
      Object.assign(new Donation(), { amount: 1, donor: null, challenge }),
    ];
    expect(donationMail(donations).subject).toBe('25.01 EUR for you');
    expect(donationMail(donations).text).toContain(
      'you have got 2 donations:\n25.00 EUR by Grace, for "Run 10 km"\n0.01 EUR by somebody, for "Run 10 km"\n',
    );
    expect(donationMail(donations.slice(1)).text).toContain('you have got a donation:');
  });
});
