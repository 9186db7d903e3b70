import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional, PartialType } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsBoolean, IsEmail, IsInt, Max, Min, ValidateIf } from 'class-validator';
import { IsInstant } from '../input/instant.js';
import { IsOneLine } from '../input/one-line.js';

/** An amount of money. */
const IsCents = () => applyDecorators(IsInt(), Min(1), Max(100_000_000));

const isGiven = (_: object, value: unknown): boolean => value !== undefined;

/** The challenge that a path names. */
export class ChallengeId {
  @ApiProperty()
  // `2e0` and `0x2` are numbers to JavaScript, and no ids.
  @Transform(({ value }: { value: unknown }) => (/^\d+$/.test(String(value)) ? Number(value) : value))
  @IsInt()
  @Min(1)
  @Max(2 ** 31 - 1)
  id: number;
}

/** The body of `POST /challenges`. */
export class CreateChallenge {
  @ApiProperty({ example: 'Run 10 km', maxLength: 200 })
  @IsOneLine(200)
  title: string;

  @ApiProperty({ example: 'ada@example.org' })
  @IsEmail()
  ownerMail: string;

  @ApiProperty({ type: String, example: '2026-05-01', description: 'A day in UTC, or an instant with its offset' })
  @IsInstant()
  startDate: Date;

  @ApiProperty({ type: String, example: '2026-05-31T20:00:00+02:00', description: 'After startDate' })
  @IsInstant()
  endDate: Date;

  @ApiPropertyOptional({ type: Number, nullable: true, example: 50000, description: 'In cents; null for no goal' })
  @ValidateIf((_, value) => value !== undefined && value !== null)
  @IsCents()
  goal?: number | null;
}

/** The body of `PATCH /challenges/:id`: what is left out stays as it is. */
export class ChangeChallenge extends PartialType(CreateChallenge, { skipNullProperties: false }) {
  @ApiPropertyOptional()
  @ValidateIf(isGiven)
  @IsBoolean()
  isActive?: boolean;
}

/** The body of `POST /challenges/:id/donations`. */
export class Donate {
  @ApiProperty({ example: 2500, description: 'In cents' })
  @IsCents()
  amount: number;

  @ApiPropertyOptional({ example: 'Grace', maxLength: 200 })
  @ValidateIf(isGiven)
  @IsOneLine(200)
  donor?: string;
}
