import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { MailModule } from '../mail/mail.module.js';
import { ChallengeClosing } from './challenge.closing.js';
import { Challenge } from './challenge.entity.js';
import { ChallengeEvents } from './challenge.events.js';
import { ChallengeMails } from './challenge.mails.js';
import { ChallengesController } from './challenges.controller.js';
import { ChallengesService } from './challenges.service.js';
import { Donation } from './donation.entity.js';
import { SampleChallenges } from './sample-challenges.js';

@Module({
  imports: [TypeOrmModule.forFeature([Challenge, Donation]), MailModule],
  controllers: [ChallengesController],
  providers: [ChallengesService, ChallengeEvents, ChallengeMails, ChallengeClosing, SampleChallenges],
})
export class ChallengeModule {}
