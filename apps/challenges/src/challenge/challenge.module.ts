import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { MailModule } from '../mail/mail.module.js';
import { ChallengeClosing } from './challenge.closing.js';
import { Challenge } from './challenge.entity.js';
import { ChallengeEvents } from './challenge.events.js';
import { ChallengeMails } from './challenge.mails.js';
import { ChallengesController } from './challenges.controller.js';
import { ChallengesService } from './challenges.service.js';
import { DonationDigest } from './donation.digest.js';
import { Donation } from './donation.entity.js';
import { DonationEvents } from './donation.events.js';
import { SampleChallenges } from './sample-challenges.js';

@Module({
  imports: [TypeOrmModule.forFeature([Challenge, Donation]), MailModule],
  controllers: [ChallengesController],
  providers: [
    ChallengesService,
    ChallengeEvents,
    ChallengeMails,
    ChallengeClosing,
    DonationEvents,
    DonationDigest,
    SampleChallenges,
  ],
})
export class ChallengeModule {}
