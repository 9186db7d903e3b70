// The application that the examples of the documents are parts of: what they import of it.
import { type CanActivate, Module } from '@nestjs/common';
import type { SparkService } from 'nestjs-spark';
import type { SparkTestKit } from 'nestjs-spark/testing';
import {
  Column,
  type ColumnOptions,
  Entity,
  type EntityManager,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';

// The same on every database, and in every time zone.
const INSTANT: ColumnOptions = {
  type: 'bigint',
  transformer: {
    to: (instant?: Date | null) => instant?.getTime() ?? instant,
    from: (stored: number | string | null) => (stored === null ? null : new Date(Number(stored))),
  },
};

@Entity()
export class User {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ default: '' }) name!: string;
  @Column({ default: '' }) email!: string;
  @Column() timeZone!: string;
  @Column(INSTANT) createdAt!: Date;
}

@Entity()
export class Invoice {
  @PrimaryGeneratedColumn() id!: number;
  @Column({ ...INSTANT, nullable: true }) dueDate!: Date | null;
  @Column() isPaid!: boolean;
}

@Entity()
export class Device {
  @PrimaryGeneratedColumn() id!: number;
  @Column() isOnline!: boolean;
  @Column({ ...INSTANT, nullable: true }) offlineSince!: Date | null;
}

@Entity()
export class Challenge {
  @PrimaryGeneratedColumn() id!: number;
  @Column() title!: string;
  @Column(INSTANT) startDate!: Date;
  @Column(INSTANT) endDate!: Date;
  @Column({ default: true }) isActive!: boolean;
  @ManyToOne(() => User) owner!: Relation<User>;
  @OneToMany(() => Donation, ({ challenge }) => challenge) donations!: Donation[];
}

@Entity()
export class Donation {
  @PrimaryGeneratedColumn() id!: number;
  @Column() amount!: number;
  @ManyToOne(() => Challenge) challenge!: Relation<Challenge>;
  @Column() challengeId!: number;
}

@Entity()
export class Product {
  @PrimaryGeneratedColumn() id!: number;
  @Column() price!: number;
  @Column() version!: number;
}

@Entity()
export class Meeting {
  @PrimaryGeneratedColumn() id!: number;
  @Column(INSTANT) start!: Date;
}

@Entity()
export class Order {
  @PrimaryGeneratedColumn() id!: number;
  @Column() isPaid!: boolean;
}

@Entity()
export class Task {
  @PrimaryGeneratedColumn() id!: number;
  @Column(INSTANT) due!: Date;
}

@Entity()
export class Job {
  @PrimaryGeneratedColumn() id!: number;
  @Column() every!: string;
  @Column({ type: String, nullable: true }) timeZone!: string | null;
  @Column(INSTANT) from!: Date;
  @Column({ ...INSTANT, nullable: true }) until!: Date | null;
  @Column({ type: String, default: 'latest' }) catchUp!: 'latest' | 'all';
}

@Entity()
export class Account {
  @PrimaryGeneratedColumn() id!: number;
  @Column() closed!: boolean;
}

export class Donations {
  countByChallenge!: (ids: number[]) => Promise<Map<number, number>>;
}
export class Mailer {
  send!: (...mail: unknown[]) => Promise<{ isBusy: boolean }>;
}
export class SearchIndex {
  bulk!: (documents: unknown[], signal: AbortSignal) => Promise<{ isOk: boolean }[]>;
}
export class Statistics {
  count!: (handler: string, state: string) => void;
}
export class AdminGuard implements CanActivate {
  canActivate!: () => boolean;
}
export class Users {
  of!: (request: unknown) => Promise<{ isAdmin: boolean; isSupport: boolean } | undefined>;
}
export const audit = { write: (_entry: object): Promise<void> => Promise.resolve() };
export class Tracer {
  current!: () => string;
  span!: <T>(name: string, about: object, work: () => Promise<T>) => Promise<T>;
}
export class ChallengesService {
  create!: (challenge: Partial<Challenge>) => Promise<Challenge>;
}
export class ChallengeEvents {}
export class ChallengeMails {}
export const myMigrations: (new () => never)[] = [];

@Module({})
export class AppModule {}
@Module({})
export class UsersModule {}
@Module({})
export class ChallengesModule {}
@Module({})
export class DatabaseModule {}

/** What the steps of a page work with, in tests: the application as far as the page has come. */
interface Story {
  readonly kit: SparkTestKit;
  readonly spark: SparkService;
  readonly manager: EntityManager;
}
export let kit: SparkTestKit;
export let spark: SparkService;
export let manager: EntityManager;
export const goOnWith = (story: Story): void => void ({ kit, spark, manager } = story);
