// Greys what is old, by the clock of whoever looks, and fetches the page anew where a server has it.
const made=Number(document.body.dataset.made)*1000,limit=Number(document.body.dataset.limit)*1000,opened=Date.now();
function look(){
  const age=Date.now()-made,minutes=Math.round(Math.abs(age)/60000);
  document.body.classList.toggle("old",Math.abs(age)>limit);
  document.getElementById("age").textContent=age<0?`${minutes} min ahead of your clock`:`${minutes} min ago`;
}
look();
setInterval(look,1000);
if(location.protocol.startsWith("http"))
  setInterval(()=>fetch(location.href,{cache:"no-store"}).then(r=>{if(r.ok)location.reload()},()=>{}),30000);
