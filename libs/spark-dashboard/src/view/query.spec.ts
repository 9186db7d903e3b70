import { describe, expect, it } from 'vitest';
import { BadRequestError } from './bad-request.error.js';
import { Query } from './query.js';

const query = (search: string) => new Query(new URLSearchParams(search));

describe('what an address selects', () => {
  it('is the filter of deliveries, without empty parts', () => {
    const filter = query(
      'state=discarded&handler=&group=a%26b&from=2026-03-01T10:00&to=2026-03-02T10:00:00.5Z',
    ).deliveries();
    expect(filter).toEqual({
      state: 'discarded',
      group: 'a&b',
      from: new Date('2026-03-01T10:00:00Z'),
      to: new Date('2026-03-02T10:00:00.500Z'),
    });
  });

  it('is an entity with a single or a composite id', () => {
    expect(query('entity=Order&id=7').events()).toEqual({ entity: 'Order', id: '7' });
    expect(query('entity=Seat&id=["A","2"]').events()).toEqual({ entity: 'Seat', id: ['A', '2'] });
    expect(query('entity=Seat&id=[A').events()).toEqual({ entity: 'Seat', id: '[A' });
  });

  it.each([
    ['a part given twice', 'group=a&group=b'],
    ['a time that is none', 'from=yesterday'],
    ['a date that does not exist', 'from=2026-02-31T99:00'],
  ])('is refused: %s', (_, search) => {
    expect(() => query(search).events()).toThrow(BadRequestError);
  });

  it('is refused for an action if a part is not known', () => {
    expect(() => query('do=discard&handlr=x').refuseOthers(['do', 'handler'])).toThrow('"handlr"');
  });

  it('a number is whole and within its limits', () => {
    expect(query('days=7').number('days', 1, 31)).toBe(7);
    for (const days of ['0', '32', '1.5', '-1', '1e1', 'x'])
      expect(() => query(`days=${days}`).number('days', 1, 31)).toThrow(BadRequestError);
  });
});
