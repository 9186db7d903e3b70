import type { CarriedDelivery } from 'nestjs-spark';
import { describe, expect, it } from 'vitest';
import { isJobData, jobsOf } from './jobs.js';

const delivery = (id: number, handler: string, priority = 0): CarriedDelivery => ({
  id: String(id),
  handler,
  priority,
  ticket: `ticket-${id}`,
});

describe('jobs', () => {
  it('have deliveries of one handler and one priority, at most so many', () => {
    const jobs = jobsOf(
      [
        delivery(1, 'mails'),
        delivery(2, 'search'),
        delivery(3, 'mails'),
        delivery(4, 'mails'),
        delivery(5, 'mails', 1),
      ],
      2,
    );

    expect(jobs.map(({ data }) => data)).toEqual([
      { handler: 'mails', ids: ['1', '3'] },
      { handler: 'mails', ids: ['4'] },
      { handler: 'search', ids: ['2'] },
      { handler: 'mails', ids: ['5'] },
    ]);
  });

  it('have the ticket of their first delivery for an id, so that a delivery that is sent again is another job', () => {
    expect(jobsOf([delivery(1, 'mails'), delivery(2, 'mails')], 50)[0]!.opts.jobId).toBe('ticket-1');
  });

  it('keep the order of priorities, also below 0, and never have the 0 that passes all others', () => {
    const priorities = [-10_000, -1, 0, 1, 1_001, 3_000_000].map((priority) => {
      return jobsOf([delivery(1, 'mails', priority)], 50)[0]!.opts.priority;
    });

    expect(priorities).toEqual([1, 10_000, 10_001, 10_002, 11_002, 2_097_152]);
  });

  it.each([undefined, null, {}, { handler: 'mails' }, { handler: 'mails', ids: [1] }, { ids: ['1'] }, 'text'])(
    'of others are told by their data: %j',
    (data) => expect(isJobData(data)).toBe(false),
  );
});
