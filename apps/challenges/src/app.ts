import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { AppModule } from './app.module.js';
import type { Settings } from './settings.js';

/** The whole application, not yet listening. */
export async function createApp(settings: Settings, options?: NestApplicationOptions): Promise<INestApplication> {
  const app = await NestFactory.create(AppModule.forRoot(settings), options ?? {});
  app.enableShutdownHooks();
  const about = new DocumentBuilder().setTitle('Challenges').setDescription('A demo of nestjs-spark').build();
  SwaggerModule.setup('api', app, () => SwaggerModule.createDocument(app, about));
  return app;
}
