import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { describe, expect, it } from 'vitest';
import { IsInstant } from './instant.js';

class Input {
  @IsInstant()
  date: Date;
}

const inputOf = (date: unknown): Input => plainToInstance(Input, { date });

describe('an instant', () => {
  it.each([
    ['2026-05-01', '2026-05-01T00:00:00.000Z'],
    ['2026-05-01T08:00Z', '2026-05-01T08:00:00.000Z'],
    ['2026-05-01T10:00:00.5+02:00', '2026-05-01T08:00:00.500Z'],
  ])('is read from %s, whatever the time zone of the process', (text, instant) => {
    const input = inputOf(text);

    expect(validateSync(input)).toEqual([]);
    expect(input.date.toISOString()).toBe(instant);
  });

  it.each(['2026-05-01T08:00', '2026-02-30', '1 May 2026', '2026', '', 0, true, null, undefined, ['2026-05-01'], {}])(
    'is not read from %j',
    (value) => {
      expect(validateSync(inputOf(value))[0]?.constraints).toEqual({
        isDate: 'date must be a day or an instant, such as 2026-05-01 or 2026-05-01T10:00:00+02:00',
      });
    },
  );
});
