select stake_id, weight, choice from vote where proposal_id = $1 and voter = $2 order by stake_id
