import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsDate, isISO8601 } from 'class-validator';

const DAY_OR_INSTANT = /^\d{4}-\d\d-\d\d(T.*(Z|[+-]\d\d:\d\d))?$/;

/**
 * A property that takes a day (its beginning in UTC) or an instant as text, and becomes a `Date`. Without its offset
 * from UTC a time is refused: it would mean something else on each server.
 *
 * @example
 * @IsInstant()
 * startDate: Date; // from '2026-05-01', '2026-05-01T08:00Z' or '2026-05-01T10:00:00.000+02:00'
 */
export const IsInstant = (): PropertyDecorator =>
  applyDecorators(
    Transform(({ value }: { value: unknown }) => (isInstant(value) ? new Date(value) : value)),
    IsDate({ message: '$property must be a day or an instant, such as 2026-05-01 or 2026-05-01T10:00:00+02:00' }),
  );

function isInstant(value: unknown): value is string {
  return typeof value === 'string' && DAY_OR_INSTANT.test(value) && isISO8601(value, { strict: true });
}
