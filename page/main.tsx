/** The page begins: the embedded model is loaded at once, or the folder on this server that the address names (`?model=models/NAME/`). */
import { render } from "preact";
import { App } from "./app.tsx";
import { addressPlace } from "./chat/folder.ts";
import { takeModel } from "./chat/model.ts";

render(<App />, document.getElementById("app")!);
const named = new URLSearchParams(location.search).get("model");
void takeModel(named === null ? {} : { place: addressPlace(named, false) });
