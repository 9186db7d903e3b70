import { applyDecorators } from '@nestjs/common';
import { IsString, Matches, MaxLength } from 'class-validator';

/** A property that takes text on one line, not blank, of at most `max` characters. */
export const IsOneLine = (max: number): PropertyDecorator =>
  applyDecorators(
    IsString(),
    MaxLength(max),
    Matches(/^(?=.*\S)\P{Cc}*$/u, { message: '$property must be text on one line' }),
  );
