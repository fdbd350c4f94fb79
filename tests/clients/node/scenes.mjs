// What the clients in Node have in common: the job comes by environment, the report is JSON.

const job = process.env;
export const URL_V1 = job.CLIENT_BASE_URL;
export const KEY = job.CLIENT_KEY;
export const ECHO = job.CLIENT_ECHO;
export const PIXEL = job.CLIENT_PIXEL;
export const TALKER = job.CLIENT_TALKER;
export const CALLER = job.CLIENT_CALLER;
export const WRITER = job.CLIENT_WRITER;
export const NOBODY = job.CLIENT_NOBODY;
/** A prompt whose answer fails in the middle. */
export const BROKEN = job.CLIENT_BROKEN;
/** Which API a client shall speak that can speak several. */
export const API = job.CLIENT_API;

export const RESULT = "17 degrees";
export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
};
export const WEATHER = {
  type: "function",
  function: { name: "get_weather", description: "Tell the weather of a city.", parameters: CITY },
};

/** Print one JSON object: what each scene that is wanted gave, or `{failed: why}`. */
export async function play(scenes) {
  const wanted = job.CLIENT_SCENES?.split(" ") ?? Object.keys(scenes);
  const report = {};
  for (const [name, scene] of Object.entries(scenes)) {
    if (!wanted.includes(name)) continue;
    try {
      report[name] = await scene();
    } catch (error) {
      report[name] = { failed: `${error.stack}` };
    }
  }
  console.log(JSON.stringify(report));
}

/** What the error that `act` raises says to a user, behind the name of its class. */
export async function complaint(act) {
  try {
    return `no error but ${JSON.stringify(await act())}`;
  } catch (error) {
    return `${error.constructor.name}: ${error.statusCode ?? ""} ${error.message}`;
  }
}
