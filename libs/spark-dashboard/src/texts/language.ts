import { de } from './de.js';
import { en, type Texts } from './en.js';

/** The languages, the default first. */
const LANGUAGES: readonly Texts[] = [en, de];

/** The texts of the language that a browser prefers, by its header `Accept-Language`. English if it prefers none of them. */
export function textsFor(accepted: string | undefined): Texts {
  const preferred = (accepted ?? '')
    .slice(0, 500)
    .split(',')
    .map((part) => {
      const [range = '', ...parameters] = part.trim().split(';');
      const quality = parameters.find((parameter) => parameter.trim().startsWith('q='));
      return {
        language: range.trim().toLowerCase().split('-')[0],
        quality: quality ? Number(quality.trim().slice(2)) : 1,
      };
    })
    .filter(({ quality }) => quality > 0)
    .toSorted((a, b) => b.quality - a.quality);
  for (const { language } of preferred) {
    const texts = LANGUAGES.find((one) => one.language === language);
    if (texts) return texts;
  }
  return en;
}
